//! What a data plane takes from a control plane, and what it does not believe.

use std::sync::Arc;

use cluster::client;
use cluster::ed25519::SigningKey;
use cluster::protocol::{Full, Message, Part, Ping, Pong, Step};
use model::{Config, EntityKind, Revision, RevisionId};

use crate::script::*;
use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_step_with_another_content_leads_to_a_full_snapshot() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let first = source.put(1, "one.test");
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    hub.say(full(&first)).await;
    until("the first arrived", || dp.revision() == first.id).await;

    let second = source.put(2, "two.test");
    hub.say(Step { changes: Vec::new(), ..step(&first, &second) }).await;
    assert!(matches!(hub.hear().await, Message::Resync(_)));
    assert_eq!(dp.revision(), first.id);

    let elsewhere = signed(&source.key, 1, 1, Config::default());
    hub.say(step(&elsewhere, &second)).await;
    assert!(matches!(hub.hear().await, Message::Resync(_)));

    hub.say(full(&second)).await;
    until("the full snapshot helped", || dp.revision() == second.id).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_vouched_for_is_refused() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    let good = source.put(1, "one.test");

    // A full snapshot whose content is not what was signed.
    let Full { id, signature, .. } = full(&good);
    hub.say(Full { id, signature, changes: Vec::new(), more: false }).await;
    check_refused(hub.hear().await, good.id, "content_hash");

    // Signed by somebody else; its parts are skipped, too.
    let forged = signed(&SigningKey::generate().unwrap(), 1, 9, good.config.clone());
    hub.say(Full { more: true, ..full(&forged) }).await;
    hub.say(Part { changes: Vec::new(), more: false }).await;
    check_refused(hub.hear().await, forged.id, "signature");

    // Bytes that are no entity.
    let Full { id, signature, mut changes, more } = full(&good);
    changes[0].bytes = Some(bytes::Bytes::from_static(&[0xc1]));
    hub.say(Full { id, signature, changes, more }).await;
    check_refused(hub.hear().await, good.id, "entity");

    assert_eq!(dp.revision(), Revision::empty().id);
    hub.say(full(&good)).await;
    until("the good one is taken", || dp.revision() == good.id).await;
}

#[track_caller]
fn check_refused(message: Message, id: RevisionId, code: &str) {
    let Message::Nack(nack) = message else { panic!("{message:?}") };
    assert_eq!((nack.refusal.revision, nack.refusal.problems[0].code.as_str()), (id, code));
}

#[tokio::test(start_paused = true)]
async fn another_control_plane_is_not_believed() {
    let (source, impostor) = (Source::new(), Source::new());
    let dp = DataPlane::with(Revision::empty(), |trust| {
        trust.meet(source.key.public()).unwrap();
    });
    let (_hub, ended) = scripted_hub(&dp, &impostor).await;
    assert!(matches!(ended.await.unwrap(), client::Ended::Untrusted(_)));
}

#[tokio::test(start_paused = true)]
async fn an_older_revision_never_replaces_a_newer_one() {
    let source = Source::new();
    let old = source.put(1, "old.test");
    let new = source.put(1, "new.test");
    let dp = DataPlane::with(new.clone(), |trust| {
        trust.meet(source.key.public()).unwrap();
    });
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    hub.say(full(&old)).await;
    hub.say(full(&new)).await;
    let newest = source.put(2, "two.test");
    hub.say(step(&new, &newest)).await;
    until("the newest arrived", || dp.revision() == newest.id).await;

    // A restored database counts in a later epoch; its versions start lower.
    let restored = signed(&source.key, 2, 1, old.config.clone());
    hub.say(full(&restored)).await;
    until("the next epoch is taken", || dp.revision() == restored.id).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_gives_way_to_the_control_plane() {
    let cp = ControlPlane::new();
    let mut config = Config::default();
    let (id, bytes) = service(9, "from.file");
    config.put(EntityKind::Service, id, bytes).unwrap();
    let id = RevisionId { epoch: 9, version: 9, hash: config.hash() };
    let dp = DataPlane::with(Arc::new(Revision { id, signature: None, config }), |_| {});
    join(&dp, &cp);
    until("the empty configuration replaces it", || dp.revision() == cp.source.head().id).await;
    assert!(dp.node.revisions().borrow().config.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lagging_control_plane_sends_nothing_and_says_so() {
    let cp = ControlPlane::new();
    let ahead = signed(&cp.source.key, 1, 50, Config::default());
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), Some(&ahead))).await;
    assert!(matches!(node.hear().await, Message::Welcome(_)));
    cp.hub.ahead().wait_for(|latest| *latest == Some(ahead.id)).await.unwrap();
    node.say(Ping::default()).await;
    assert_eq!(node.hear().await, Pong {}.into());

    // A revision somebody else signed proves nothing.
    let forged = signed(&SigningKey::generate().unwrap(), 1, 99, Config::default());
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), Some(&forged))).await;
    assert!(matches!(node.hear().await, Message::Welcome(_)));
    node.say(Ping::default()).await;
    assert_eq!(node.hear().await, Pong {}.into());
    assert_eq!(*cp.hub.ahead().borrow(), Some(ahead.id));
}
