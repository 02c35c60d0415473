//! What only a newer version can read freezes a data plane, and does no more harm than that.

use std::sync::Arc;

use bytes::Bytes;
use cluster::protocol::{Message, Nack, Step};
use model::delta::Change;
use model::encode::ContentHash;
use model::vitals::SyncStatus;
use model::{Revision, RevisionId};
use uuid::Uuid;

use crate::script::*;
use crate::support::*;

/// A change of a kind that only a newer control plane has: its bytes, or its end.
fn quota(bytes: Option<&'static [u8]>) -> Change {
    let kind = serde_json::from_value("quotas".into()).unwrap();
    Change { kind, id: Uuid::from_u128(77), bytes: bytes.map(Bytes::from_static) }
}

/// Signed for a content that only a newer version can compute.
fn newer(source: &Source, version: u64) -> Revision {
    let id = RevisionId { epoch: 1, version, hash: ContentHash::from_bytes([version as u8; 16]) };
    Revision { id, signature: Some(sign(&source.key, &id)), config: source.head().config.clone() }
}

/// A data plane that serves the first revision of a control plane the test speaks for.
struct Linked {
    source: Source,
    dp: DataPlane,
    hub: Script,
    first: Arc<Revision>,
}

async fn linked() -> Linked {
    let (source, dp) = (Source::new(), DataPlane::new());
    let first = source.put(1, "one.test");
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    hub.say(full(&first)).await;
    until("the first arrived", || dp.revision() == first.id).await;
    Linked { source, dp, hub, first }
}

async fn hear_refusal(hub: &mut Script, id: RevisionId) -> Nack {
    let message = hub.hear().await;
    let Message::Nack(nack) = message else { panic!("{message:?}") };
    assert_eq!(nack.refusal.revision, id);
    nack
}

#[tokio::test(start_paused = true)]
async fn an_unknown_kind_costs_steps_and_no_snapshot() {
    let Linked { source, dp, mut hub, first } = linked().await;

    let second = newer(&source, 2);
    hub.say(Step { changes: vec![quota(Some(b"\x80"))], ..step(&first, &second) }).await;
    let nack = hear_refusal(&mut hub, second.id).await;
    let problem = &nack.refusal.problems[0];
    assert_eq!(problem.code, "unknown_kind");
    assert!(problem.to_string().starts_with("quotas 00000000-"), "{problem}");

    // Each further change is a step, refused for the same reason.
    let mut before = second;
    for version in 3..30 {
        let config = source.put(u128::from(version), "more.test").config.clone();
        let after = Revision { config, ..newer(&source, version) };
        hub.say(step(&before, &after)).await;
        hear_refusal(&mut hub, after.id).await;
        before = after;
    }
    assert_eq!(dp.revision(), first.id);

    // Without the quota, there is nothing to refuse.
    let last = signed(&source.key, 1, 30, source.head().config.clone());
    hub.say(Step { changes: vec![quota(None)], ..step(&before, &last) }).await;
    until("it can be served", || dp.revision() == last.id).await;
    assert_eq!(dp.node.revisions().borrow().config.len(), source.head().config.len());

    shows(nack).await;
}

/// The control plane shows such a refusal with its reason.
async fn shows(nack: Nack) {
    let cp = ControlPlane::new();
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), None)).await;
    node.say(nack.clone()).await;
    until("it shows", || cp.rows().iter().any(|row| row.refused.is_some())).await;
    let row = &cp.rows()[0];
    assert_eq!((row.sync_status, row.refused.as_ref()), (SyncStatus::Refused, Some(&nack.refusal)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_nothing_yet_goes_on_from_what_it_refused() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    source.put(1, "one.test");
    let first = newer(&source, 1);
    let mut whole = full(&first);
    whole.changes.push(quota(Some(b"\x80")));
    hub.say(whole).await;
    hear_refusal(&mut hub, first.id).await;

    let second = source.put(2, "two.test");
    let mut rest = step(&first, &second);
    rest.changes.push(quota(None));
    hub.say(rest).await;
    until("it can be served", || dp.revision() == second.id).await;
}

#[tokio::test(start_paused = true)]
async fn so_does_an_entity_with_a_content_of_a_newer_version() {
    let Linked { source, dp, mut hub, first } = linked().await;

    let second = newer(&source, 2);
    let unread =
        Change { bytes: Some(Bytes::from_static(b"\xc1")), ..full(&first).changes[0].clone() };
    hub.say(Step { changes: vec![unread], ..step(&first, &second) }).await;
    assert_eq!(hear_refusal(&mut hub, second.id).await.refusal.problems[0].code, "entity");

    source.put(1, "again.test");
    let third = source.put(2, "two.test");
    hub.say(Step { parent: second.id, ..step(&first, &third) }).await;
    until("it can be served", || dp.revision() == third.id).await;
}

/// A control plane that knows nothing of what was refused may start over.
#[tokio::test(start_paused = true)]
async fn a_step_from_what_is_served_helps_as_well() {
    let Linked { source, dp, mut hub, first } = linked().await;
    let second = newer(&source, 2);
    hub.say(Step { changes: vec![quota(Some(b"\x80"))], ..step(&first, &second) }).await;
    hear_refusal(&mut hub, second.id).await;

    source.put(2, "two.test");
    let third = source.put(3, "three.test");
    hub.say(step(&first, &third)).await;
    until("it can be served", || dp.revision() == third.id).await;

    // What was refused is over: nothing can start from it any more.
    let fourth = source.put(4, "four.test");
    hub.say(step(&second, &fourth)).await;
    assert!(matches!(hub.hear().await, Message::Resync(_)));
    hub.say(full(&fourth)).await;
    until("a whole one helps", || dp.revision() == fourth.id).await;
}
