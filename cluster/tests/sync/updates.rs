//! What is sent to whom: everything, a step, or nothing, and never what is superseded already.

use cluster::protocol::{Hello, Message, Ping, Pong};
use cluster::server;
use model::vitals::{NodeStatus, SyncStatus};
use model::{Config, EntityKind};

use crate::script::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_new_node_gets_everything_then_changes() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let first = cp.source.put(1, "one.test");
    dp.serve_all();
    join(&dp, &cp);
    until("the first revision arrives", || dp.revision() == first.id).await;

    let second = cp.source.put(2, "two.test");
    until("the change is acknowledged", || {
        cp.rows().iter().any(|row| row.effective == Some(second.id))
    })
    .await;
    assert_eq!(dp.node.revisions().borrow().config.len(), 2);

    let row = cp.row(dp.node.id()).unwrap();
    assert_eq!(row.config_hash, second.id.hash.to_string());
    assert_eq!((row.status, row.sync_status), (NodeStatus::Connected, SyncStatus::Normal));
    assert_eq!((row.hostname.as_str(), row.version.as_str()), ("dp-1", "1.4.0"));
    assert_eq!(row.ip.to_string(), "10.0.0.7");
    assert_eq!(row.labels["region"], "eu");
    assert_eq!(row.cert_details.expiry_timestamp, Some(99));
    assert_eq!(row.ttl, 1_209_600);
    assert!(row.cached);
    assert_eq!(dp.kept.revisions.lock().unwrap().last(), Some(&second.id));
}

#[tokio::test(start_paused = true)]
async fn a_change_travels_as_a_small_step() {
    let cp = ControlPlane::new();
    for number in 0..2000 {
        cp.source.put(number, "host.test");
    }
    let before = cp.source.head();
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), None)).await;
    assert_eq!(node.update().await, (None, before.id, 2000));

    let after = cp.source.put(7, "other.test");
    let raw = loop {
        let raw = node.reader.next().await.unwrap().unwrap();
        if matches!(Message::decode(&raw), Ok(Some(Message::Step(_)))) {
            break raw;
        }
    };
    let entity = service(7, "other.test").1.len();
    assert!(raw.body.len() <= 512 + entity * 13 / 10, "{} bytes for {entity}", raw.body.len());
    let Some(Message::Step(step)) = Message::decode(&raw).unwrap() else { panic!("is a step") };
    assert_eq!((step.parent, step.id, step.changes.len()), (before.id, after.id, 1));
}

#[tokio::test(start_paused = true)]
async fn a_large_configuration_comes_in_parts() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let large = cp.source.next(|config| {
        for number in 0..6000 {
            let (id, bytes) = service(number, &format!("host-{number}.{}", "x".repeat(60)));
            config.put(EntityKind::Service, id, bytes).unwrap();
        }
    });
    cp.source.revisions.send_replace(large.clone());
    join(&dp, &cp);
    until("everything arrives", || dp.revision() == large.id).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_resumes_from_what_it_has() {
    let cp = ControlPlane::new();
    let known = cp.source.put(1, "one.test");
    tokio::task::yield_now().await; // the hub takes note of each
    let head = cp.source.put(2, "two.test");

    // Up to date: welcome, then nothing but answers.
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), Some(&head))).await;
    assert!(matches!(node.hear().await, Message::Welcome(w) if w.head == head.id));
    node.say(Ping::default()).await;
    assert_eq!(node.hear().await, Pong {}.into());

    // One behind: a step.
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), Some(&known))).await;
    assert_eq!(node.update().await, (Some(known.id), head.id, 1));

    // Of another history: everything.
    let stranger = signed(&cp.source.key, 1, 1, Config::default());
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), Some(&stranger))).await;
    assert_eq!(node.update().await, (None, head.id, 2));

    // Without steps: everything.
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(Hello { capabilities: Vec::new(), ..hello(&identity(), Some(&known)) }).await;
    assert_eq!(node.update().await, (None, head.id, 2));
}

#[tokio::test(start_paused = true)]
async fn fifty_changes_while_away_are_one_step() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    cp.source.put(1, "one.test");
    dp.serve_all();
    let (node, hub) = join(&dp, &cp);
    until("it is in sync", || dp.revision() == cp.source.head().id).await;
    let before = dp.kept.revisions.lock().unwrap().len();
    node.abort();
    assert!(matches!(hub.await.unwrap(), server::Ended::Closed));

    let mut seen = dp.node.revisions();
    seen.borrow_and_update();
    for number in 0..50 {
        cp.source.put(number, "many.test");
        tokio::task::yield_now().await;
    }
    assert_eq!(cp.row(dp.node.id()).unwrap().status, NodeStatus::Disconnected);
    join(&dp, &cp);
    until("it caught up", || dp.revision() == cp.source.head().id).await;
    until("it is cached", || dp.kept.revisions.lock().unwrap().len() > before).await;
    assert_eq!(dp.kept.revisions.lock().unwrap().len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn latest_wins_and_a_slow_node_delays_nobody() {
    let (cp, quick) = (ControlPlane::new(), DataPlane::new());
    quick.serve_all();
    join(&quick, &cp);
    // Nothing fits into this pipe: the control plane waits in its first write.
    let (mut slow, _) = scripted_node(&cp, 16);
    slow.say(hello(&identity(), None)).await;

    for number in 0..100 {
        let head = cp.source.put(number, "host.test");
        until("the quick node follows", || quick.revision() == head.id).await;
    }
    let head = cp.source.head();
    let mut updates = 0;
    loop {
        let (_, id, _) = slow.update().await;
        updates += 1;
        if id == head.id {
            break;
        }
    }
    assert!(updates <= 2, "{updates} updates for 100 revisions");
}
