//! Who is taken on.

use cluster::protocol::settings::Settings;
use cluster::protocol::{Fixed, Hello, Message, Reason, Refused};
use cluster::server;
use model::vitals::{NodeStatus, SyncStatus};

use crate::script::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_node_is_who_it_proves_to_be() {
    let cp = ControlPlane::new();
    let (node, other) = (identity(), identity());
    let claims = Hello { node: other.id(), ..hello(&node, None) };
    check_turned_away(&cp, claims, Reason::Identity).await;
    let replayed = Hello { proof: Fixed(node.prove(&[0; 32]).unwrap()), ..hello(&node, None) };
    check_turned_away(&cp, replayed, Reason::Identity).await;
    let forged = Hello { proof: Fixed(other.prove(&BINDING).unwrap()), ..hello(&node, None) };
    check_turned_away(&cp, forged, Reason::Identity).await;
    assert!(cp.rows().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_node_with_other_settings_is_taken_on_and_shown() {
    let cp = ControlPlane::new();
    for (told, differing) in [
        (settings("expressions"), Settings::new()),
        (settings("traditional_compatible"), settings("traditional_compatible")),
        ([("newer".to_owned(), "on".to_owned())].into(), Settings::new()),
        (Settings::new(), Settings::new()),
    ] {
        let id = identity();
        let (mut node, _ended) = scripted_node(&cp, PIPE);
        node.say(Hello { settings: told, ..hello(&id, None) }).await;
        let Message::Welcome(welcome) = node.hear().await else { panic!("it is welcome") };
        assert_eq!(welcome.settings, settings("expressions"));
        assert_eq!(cp.row(id.id()).unwrap().differing_settings, differing);
    }
}

#[tokio::test(start_paused = true)]
async fn incompatible_nodes_are_turned_away_and_shown() {
    let cp = ControlPlane::new();
    let node = identity();
    let newer = Hello { version: "1.5.0".to_owned(), ..hello(&node, None) };
    let text = check_turned_away(&cp, newer, Reason::Version).await;
    assert_eq!(text, "version mismatches, CP version: 1.4.2 DP version: 1.5.0");
    let row = cp.row(node.id()).unwrap();
    assert_eq!(
        (row.sync_status, row.status),
        (SyncStatus::KongVersionIncompatible, NodeStatus::Disconnected)
    );
    assert_eq!(row.version, "1.5.0");

    let mut future = hello(&node, None);
    (future.protocol.oldest, future.protocol.newest) = (2, 3);
    check_turned_away(&cp, future, Reason::Protocol).await;
}

pub async fn check_turned_away(cp: &ControlPlane, hello: Hello, reason: Reason) -> String {
    let (mut node, ended) = scripted_node(cp, PIPE);
    node.say(hello).await;
    let Message::Refused(Refused { reason: told, text }) = node.hear().await else {
        panic!("is not refused")
    };
    assert_eq!(told, reason);
    assert!(matches!(ended.await.unwrap(), server::Ended::TurnedAway { .. }));
    text
}

#[tokio::test(start_paused = true)]
async fn a_newer_process_takes_over_its_nodes_link() {
    let cp = ControlPlane::new();
    let node = identity();
    let (mut old, old_ended) = scripted_node(&cp, PIPE);
    old.say(Hello { instance: 5, ..hello(&node, None) }).await;
    assert!(matches!(old.hear().await, Message::Welcome(_)));
    let (mut new, _) = scripted_node(&cp, PIPE);
    new.say(Hello { instance: 6, hostname: "new".to_owned(), ..hello(&node, None) }).await;
    assert!(matches!(new.hear().await, Message::Welcome(_)));
    assert!(matches!(old_ended.await.unwrap(), server::Ended::Evicted));

    let row = cp.row(node.id()).unwrap();
    assert_eq!((row.hostname.as_str(), row.status), ("new", NodeStatus::Connected));
    check_turned_away(&cp, Hello { instance: 5, ..hello(&node, None) }, Reason::Superseded).await;
}
