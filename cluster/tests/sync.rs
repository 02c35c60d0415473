//! The conversation between the planes, both ends over a pipe and on a clock the test owns.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use cluster::client::{self, Node};
use cluster::ed25519::SigningKey;
use cluster::identity::Identity;
use cluster::protocol::frame::{FrameError, FrameReader};
use cluster::protocol::version::{CAPABILITIES, PROTOCOL};
use cluster::protocol::{
    Ack, Bye, Fixed, Full, Hello, Message, Part, Ping, Pong, Reason, Refused, Signed, Step, Welcome,
};
use cluster::server::{self, Hub};
use model::delta;
use model::vitals::{NodeStatus, SyncStatus};
use model::{Config, EntityKind, Revision, RevisionId};
use support::*;
use tokio::io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PIPE: usize = 64 * 1024;

/// Joins a data plane and a control plane.
fn join(
    dp: &DataPlane,
    cp: &ControlPlane,
) -> (JoinHandle<client::Ended>, JoinHandle<server::Ended>) {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    (run_node(&dp.node, ours), run_hub(&cp.hub, theirs))
}

fn run_node(node: &Arc<Node>, io: DuplexStream) -> JoinHandle<client::Ended> {
    let node = Arc::clone(node);
    tokio::spawn(
        async move { node.converse(io, &BINDING, "cp:8005", std::future::pending()).await },
    )
}

fn run_hub(hub: &Arc<Hub>, io: DuplexStream) -> JoinHandle<server::Ended> {
    let hub = Arc::clone(hub);
    tokio::spawn(async move { hub.converse(io, &peer()).await })
}

/// One end of a link, spoken by the test.
struct Script {
    reader: FrameReader<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
}

impl Script {
    fn new(io: DuplexStream) -> Self {
        let (reader, writer) = tokio::io::split(io);
        Self { reader: FrameReader::new(reader, 64 << 20), writer }
    }

    async fn hear(&mut self) -> Message {
        let raw = self.reader.next().await.unwrap().expect("the link is open");
        Message::decode(&raw).unwrap().expect("is a known message")
    }

    async fn say(&mut self, message: impl Into<Message>) {
        self.writer.write_all(&message.into().encode()).await.unwrap();
    }

    /// The next thing the control plane sends, whole, after whatever else.
    async fn update(&mut self) -> (Option<RevisionId>, RevisionId, usize) {
        let (parent, id, mut count, mut more) = loop {
            match self.hear().await {
                Message::Full(full) => break (None, full.id, full.changes.len(), full.more),
                Message::Step(step) => {
                    break (Some(step.parent), step.id, step.changes.len(), step.more);
                }
                Message::Welcome(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        };
        while more {
            let Message::Part(part) = self.hear().await else { panic!("a part is missing") };
            count += part.changes.len();
            more = part.more;
        }
        (parent, id, count)
    }
}

/// A data plane spoken by the test.
fn scripted_node(cp: &ControlPlane, pipe: usize) -> (Script, JoinHandle<server::Ended>) {
    let (ours, theirs) = tokio::io::duplex(pipe);
    (Script::new(ours), run_hub(&cp.hub, theirs))
}

/// A control plane spoken by the test, up to its welcome.
async fn scripted_hub(dp: &DataPlane, source: &Source) -> (Script, JoinHandle<client::Ended>) {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let ended = run_node(&dp.node, theirs);
    let mut script = Script::new(ours);
    assert!(matches!(script.hear().await, Message::Hello(_)));
    script.say(welcome(source)).await;
    (script, ended)
}

fn welcome(source: &Source) -> Welcome {
    Welcome {
        protocol: 1,
        capabilities: Vec::new(),
        trust: source.key.public().into(),
        version: "1.4.2".to_owned(),
        head: source.head().id,
    }
}

fn hello(identity: &Identity, have: Option<&Revision>) -> Hello {
    Hello {
        protocol: PROTOCOL,
        capabilities: CAPABILITIES.iter().map(|c| (*c).to_owned()).collect(),
        node: identity.id(),
        key: identity.public().into(),
        proof: Fixed(identity.prove(&BINDING).unwrap()),
        instance: 1,
        hostname: "scripted".to_owned(),
        version: "1.3.9".to_owned(),
        labels: Default::default(),
        plugins: Default::default(),
        have: have.map(|have| Signed { id: have.id, signature: have.signature.unwrap() }),
        serving: Ack::default(),
        refused: None,
    }
}

fn identity() -> Identity {
    Identity::of(SigningKey::generate().unwrap())
}

fn full(revision: &Revision) -> Full {
    let changes = delta::changes(&Config::default(), &revision.config);
    Full { id: revision.id, signature: revision.signature.unwrap(), changes, more: false }
}

fn step(from: &Revision, to: &Revision) -> Step {
    let changes = delta::changes(&from.config, &to.config);
    Step { parent: from.id, id: to.id, signature: to.signature.unwrap(), changes, more: false }
}

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

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_engine_serves_it() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let revision = cp.source.put(1, "one.test");
    join(&dp, &cp);
    until("it arrived", || dp.revision() == revision.id).await;
    tokio::time::sleep(Duration::from_secs(40)).await; // a heartbeat passes
    let row = cp.row(dp.node.id()).unwrap();
    assert_eq!((row.received, row.effective), (Some(revision.id), None));
    assert_eq!(row.sync_status, SyncStatus::Unknown);
    assert!(dp.kept.revisions.lock().unwrap().is_empty());

    dp.serve(revision.id);
    until("it is acknowledged", || cp.rows()[0].effective == Some(revision.id)).await;
    assert_eq!(*dp.kept.revisions.lock().unwrap(), [revision.id]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_shows_and_a_later_revision_clears_it() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let good = cp.source.put(1, "good.test");
    join(&dp, &cp);
    dp.serve(Revision::empty().id);
    until("the good one arrived", || dp.revision() == good.id).await;
    dp.serve(good.id);
    until("the good one is served", || cp.rows()[0].effective == Some(good.id)).await;

    let bad = cp.source.put(2, "bad.test");
    until("the bad one arrived", || dp.revision() == bad.id).await;
    dp.refuse(bad.id, "regex does not compile");
    until("the refusal shows", || cp.rows()[0].refused.is_some()).await;
    let row = cp.row(dp.node.id()).unwrap();
    assert_eq!((row.effective, row.sync_status), (Some(good.id), SyncStatus::Refused));
    let refused = row.refused.unwrap();
    assert_eq!((refused.revision, refused.problems[0].code.as_str()), (bad.id, "route_pattern"));

    let fixed = cp.source.put(2, "fixed.test");
    until("the fixed one arrived", || dp.revision() == fixed.id).await;
    dp.serve(fixed.id);
    until("the refusal is gone", || cp.rows()[0].sync_status == SyncStatus::Normal).await;
    assert_eq!(*dp.kept.revisions.lock().unwrap(), [good.id, fixed.id]);
    assert_eq!(dp.node.status().borrow().refused, None);

    // Nor does it come back with the next link, or with the next verdict that still carries it.
    let last = cp.source.put(3, "three.test");
    until("the last one arrived", || dp.revision() == last.id).await;
    dp.serve(last.id);
    until("the last one is served", || cp.rows()[0].effective == Some(last.id)).await;
    join(&dp, &cp);
    until("it is connected again", || cp.rows()[0].status == NodeStatus::Connected).await;
    assert_eq!(cp.rows()[0].sync_status, SyncStatus::Normal);
    assert_eq!(dp.node.status().borrow().refused, None);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_tried_again() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    *dp.kept.failures.lock().unwrap() = 1;
    let revision = cp.source.put(1, "one.test");
    dp.serve_all();
    join(&dp, &cp);
    until("it is served", || cp.rows().iter().any(|row| row.effective == Some(revision.id))).await;
    assert!(!cp.rows()[0].cached);
    tokio::time::sleep(Duration::from_secs(31)).await;
    until("it is cached", || cp.rows()[0].cached).await;
}

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

#[tokio::test(start_paused = true)]
async fn a_heartbeat_every_thirty_seconds() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    let start = Instant::now();
    for beat in 1..=3 {
        assert!(matches!(hub.hear().await, Message::Ping(_)));
        assert_eq!(start.elapsed().as_secs(), 30 * beat);
        hub.say(Pong {}).await;
    }
}

#[tokio::test(start_paused = true)]
async fn both_ends_drop_a_link_after_45_seconds_of_silence() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (_hub, ended) = scripted_hub(&dp, &source).await;
    let start = Instant::now();
    assert!(matches!(ended.await.unwrap(), client::Ended::Frame(FrameError::Silence)));
    assert_eq!(start.elapsed().as_secs(), 45);

    let cp = ControlPlane::new();
    let (mut node, ended) = scripted_node(&cp, PIPE);
    let start = Instant::now();
    node.say(hello(&identity(), None)).await;
    assert!(matches!(ended.await.unwrap(), server::Ended::Frame(FrameError::Silence)));
    assert_eq!(start.elapsed().as_secs(), 45);
    assert_eq!(cp.rows()[0].status, NodeStatus::Stale);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(cp.rows()[0].status, NodeStatus::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_row_is_purged_after_the_delay() {
    let cp = ControlPlane::new();
    let (mut node, ended) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), None)).await;
    node.say(Bye { reason: "test".to_owned() }).await;
    assert!(matches!(ended.await.unwrap(), server::Ended::Left(_)));
    assert_eq!(cp.rows()[0].status, NodeStatus::Disconnected);
    tokio::time::advance(server::DEFAULT_PURGE_DELAY).await;
    assert!(cp.rows().is_empty());
}

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

async fn check_turned_away(cp: &ControlPlane, hello: Hello, reason: Reason) -> String {
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

#[tokio::test(start_paused = true)]
async fn leaving_on_purpose_is_told() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let (node, hub) = join(&dp, &cp);
    until("it is connected", || !cp.rows().is_empty()).await;
    cp.stop.stop();
    assert!(matches!(node.await.unwrap(), client::Ended::Left(_)));
    assert!(matches!(hub.await.unwrap(), server::Ended::Stopped));
}

#[tokio::test(start_paused = true)]
async fn leaving_does_not_wait_for_a_control_plane_that_never_answers() {
    let dp = DataPlane::new();
    let (_silent, theirs) = tokio::io::duplex(PIPE);
    let start = Instant::now();
    let stopped = tokio::time::sleep(Duration::from_secs(1));
    let ended = dp.node.converse(theirs, &BINDING, "cp:8005", stopped).await;
    assert!(matches!(ended, client::Ended::Stopped), "{ended}");
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_a_link_and_nothing_else() {
    let cp = ControlPlane::new();
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 1, 1, 0, 0xc1],
        &[0, 0, 0, 0, 12, 0],
        &[0, 0, 0, 9, 1, 0, 0x81],
        &[0, 0, 0, 2, 7, 1, 0x80, 0x80],
    ];
    for bytes in garbage {
        let (mut node, ended) = scripted_node(&cp, PIPE);
        node.writer.write_all(bytes).await.unwrap();
        node.writer.shutdown().await.unwrap();
        let ended = ended.await.unwrap();
        assert!(
            !matches!(ended, server::Ended::Left(_) | server::Ended::Stopped),
            "{bytes:?}: {ended:?}"
        );

        let (source, dp) = (Source::new(), DataPlane::new());
        let (mut hub, ended) = scripted_hub(&dp, &source).await;
        hub.writer.write_all(bytes).await.unwrap();
        hub.writer.shutdown().await.unwrap();
        let ended = ended.await.unwrap();
        assert!(
            !matches!(ended, client::Ended::Left(_) | client::Ended::Stopped),
            "{bytes:?}: {ended:?}"
        );
    }
    assert!(cp.rows().is_empty());
}

/// One bit at a time, through everything a data plane and a control plane say.
#[tokio::test(start_paused = true)]
async fn damaged_messages_never_panic_either_end() {
    let cp = ControlPlane::new();
    let said: Vec<u8> = [Message::from(hello(&identity(), None)), Ping::default().into()]
        .iter()
        .flat_map(Message::encode)
        .collect();
    for at in 0..said.len() {
        let mut damaged = said.clone();
        damaged[at] ^= 1 << (at % 8);
        let (mut node, ended) = scripted_node(&cp, PIPE);
        node.writer.write_all(&damaged).await.unwrap();
        node.writer.shutdown().await.unwrap();
        ended.await.expect("does not panic");
    }

    let source = Source::new();
    let revision = source.put(1, "one.test");
    let said: Vec<u8> = [welcome(&source).into(), Message::from(full(&revision))]
        .iter()
        .flat_map(Message::encode)
        .collect();
    for at in 0..said.len() {
        let mut damaged = said.clone();
        damaged[at] ^= 1 << (at % 8);
        let dp = DataPlane::with(Revision::empty(), |trust| {
            trust.meet(source.key.public()).unwrap();
        });
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let ended = run_node(&dp.node, theirs);
        let mut hub = Script::new(ours);
        hub.writer.write_all(&damaged).await.unwrap();
        hub.writer.shutdown().await.unwrap();
        ended.await.expect("does not panic");
        let taken = dp.revision();
        assert!(taken == Revision::empty().id || taken == revision.id, "{at}: {taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_newer_peer_are_skipped() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    let unknown = cluster::protocol::frame::encode(99, b"\x80");
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), Some(&cp.source.head()))).await;
    node.writer.write_all(&unknown).await.unwrap();
    node.say(Ping::default()).await;
    assert!(matches!(node.hear().await, Message::Welcome(_)));
    assert_eq!(node.hear().await, Pong {}.into());

    let source = Source::new();
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    hub.writer.write_all(&unknown).await.unwrap();
    hub.say(full(&source.put(1, "one.test"))).await;
    until("it goes on", || dp.revision() == source.head().id).await;
}
