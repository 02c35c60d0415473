//! What one end can make the other hold, log and send: not more than so much.

use std::time::Duration;

use cluster::protocol::bounds::{MAX_MESSAGE_BYTES, MAX_PROBLEMS, MAX_REFUSAL_BYTES, MORE};
use cluster::protocol::frame::{FrameError, HEADER, WriteError};
use cluster::protocol::{Ack, Bye, Hello, Message, Nack, Ping, Pong, Reason, Resync, Step};
use cluster::{client, server};
use model::vitals::{NodeStatus, Problem, Refusal, SyncStatus};
use model::{Config, Revision};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use uuid::Uuid;

use crate::admission::check_turned_away;
use crate::script::*;
use crate::support::*;

fn refusal(count: usize, length: usize) -> Refusal {
    let message = "m".repeat(length);
    let problem = Problem { code: "c".to_owned(), entity: None, field: None, message };
    Refusal { revision: Default::default(), problems: vec![problem; count] }
}

/// A node that has come; it stays for as long as the script is kept.
async fn come(cp: &ControlPlane) -> (Script, Uuid) {
    let identity = identity();
    let (mut node, _) = scripted_node(cp, PIPE);
    node.say(hello(&identity, None)).await;
    assert!(matches!(node.hear().await, Message::Welcome(_)));
    (node, identity.id())
}

/// A node that has come and gone.
async fn visit(cp: &ControlPlane) -> Uuid {
    let (mut node, id) = come(cp).await;
    node.say(Bye { reason: "test".to_owned() }).await;
    while !matches!(cp.row(id).map(|row| row.status), Some(NodeStatus::Disconnected)) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    id
}

fn known(cp: &ControlPlane, ids: &[Uuid]) -> Vec<bool> {
    ids.iter().map(|id| cp.row(*id).is_some()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_row_of_who_is_gone_longest_makes_way() {
    let cp = ControlPlane::for_so_many(3);
    let (first, second) = (visit(&cp).await, visit(&cp).await);
    let (_stays, third) = come(&cp).await;
    let (_stays_too, fourth) = come(&cp).await;
    assert_eq!(known(&cp, &[first, second, third, fourth]), [false, true, true, true]);

    // One that is shown without being taken on takes a place, but no connected one's.
    let newer = || Hello { version: "1.5.0".to_owned(), ..hello(&identity(), None) };
    let shown = newer();
    let id = shown.node;
    check_turned_away(&cp, shown, Reason::Version).await;
    assert_eq!(known(&cp, &[second, third, fourth, id]), [false, true, true, true]);
    let (_last, fifth) = come(&cp).await;
    check_turned_away(&cp, newer(), Reason::Version).await;
    assert_eq!(known(&cp, &[id, third, fourth, fifth]), [false, true, true, true]);
}

#[tokio::test(start_paused = true)]
async fn who_finds_only_connected_nodes_is_turned_away() {
    let cp = ControlPlane::for_so_many(1);
    let node = identity();
    let (mut first, _) = scripted_node(&cp, PIPE);
    first.say(hello(&node, None)).await;
    assert!(matches!(first.hear().await, Message::Welcome(_)));

    let dp = DataPlane::new();
    let (ended, hub) = join(&dp, &cp);
    let client::Ended::TurnedAway { reason, text } = ended.await.unwrap() else {
        panic!("there is no place")
    };
    assert_eq!(reason, Reason::Full);
    assert_eq!(text, "this control plane is full: 1 data planes are connected");
    assert!(matches!(hub.await.unwrap(), server::Ended::TurnedAway { .. }));
    assert_eq!(known(&cp, &[node.id(), dp.node.id()]), [true, false]);

    // A newer process of a node that is connected has its place.
    let (mut again, _) = scripted_node(&cp, PIPE);
    again.say(Hello { instance: 2, ..hello(&node, None) }).await;
    assert!(matches!(again.hear().await, Message::Welcome(_)));
}

#[tokio::test(start_paused = true)]
async fn rows_are_shown_page_by_page() {
    const NODES: usize = 230; // more than two pages of those who ask for all
    let cp = ControlPlane::for_so_many(NODES);
    let (mut nodes, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..NODES {
        let (node, id) = come(&cp).await;
        nodes.push(node);
        ids.push(id);
    }
    ids.sort();
    let vitals = cp.hub.vitals();
    let page = |after, most| -> Vec<Uuid> {
        vitals.page(after, most).into_iter().map(|node| node.id).collect()
    };
    assert_eq!(page(None, 2), ids[..2]);
    assert_eq!(page(Some(ids[1]), 3), ids[2..5]);
    assert_eq!(page(Some(ids[NODES - 2]), 3), ids[NODES - 1..]);
    assert!(page(Some(ids[NODES - 1]), 3).is_empty());
    assert_eq!(vitals.count(), NODES);
    assert!(cp.rows().iter().map(|row| row.id).eq(ids));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_cut_where_it_is_made() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (mut hub, _ended) = scripted_hub(&dp, &source).await;
    let revision = source.put(1, "one.test").id;
    let huge = Refusal { revision, ..refusal(5000, 5000) };
    dp.verdicts.send_modify(|verdict| verdict.refused = Some(huge));
    let Message::Nack(nack) = hub.hear().await else { panic!("it is refused") };
    assert_eq!(nack.refusal.problems.last().map(|problem| problem.code.as_str()), Some(MORE));
    assert!(Message::from(nack).encode().len() < MAX_REFUSAL_BYTES);
}

#[tokio::test(start_paused = true)]
async fn and_where_it_arrives() {
    let cp = ControlPlane::new();
    let labels = (0..1000).map(|n| (format!("label-{n}"), "v".to_owned())).collect();
    let (mut node, ended) = scripted_node(&cp, PIPE);
    let node_hello = hello(&identity(), None);
    node.say(Hello { labels, refused: Some(refusal(500, 10)), ..node_hello }).await;
    assert!(matches!(node.hear().await, Message::Welcome(_)));
    assert_eq!(cp.rows()[0].labels.len(), 10);
    let kept = || cp.rows()[0].refused.as_ref().map(|refusal| refusal.problems.clone());
    assert_eq!(kept().map(|problems| problems.len()), Some(MAX_PROBLEMS));

    node.say(Nack { refusal: refusal(2, 10_000) }).await;
    until("the next one shows", || kept().is_some_and(|problems| problems.len() == 2)).await;
    assert!(kept().is_some_and(|problems| problems[0].message.len() <= 512));
    assert_eq!(cp.rows()[0].sync_status, SyncStatus::Refused);

    // Its length alone is too much.
    let longer = Message::from(Nack { refusal: refusal(1, MAX_MESSAGE_BYTES) }).encode();
    node.writer.write_all(&longer[..HEADER]).await.unwrap();
    let ended = ended.await.unwrap();
    assert!(matches!(ended, server::Ended::Frame(FrameError::MessageTooLong { .. })), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn who_talks_without_end_is_heard_at_a_pace() {
    let cp = ControlPlane::new();
    let (mut node, ended) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), None)).await;
    let start = Instant::now();
    for _ in 0..3000 {
        node.say(Ack::default()).await;
    }
    node.say(Bye { reason: "tired".to_owned() }).await;
    assert!(matches!(ended.await.unwrap(), server::Ended::Left(_)));
    assert!((9..12).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn everything_is_sent_again_only_so_often() {
    let cp = ControlPlane::new();
    let head = cp.source.put(1, "one.test");
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), None)).await;
    assert_eq!(node.update().await.1, head.id);

    let start = Instant::now();
    for seconds in [0, 10, 20] {
        node.say(Resync { reason: "test".to_owned() }).await;
        node.say(Ping::default()).await; // answered all the same
        assert_eq!(node.update().await, (None, head.id, 1));
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_let_go() {
    let cp = ControlPlane::new();
    let (mut node, ended) = scripted_node(&cp, 16);
    node.say(hello(&identity(), None)).await;
    let start = Instant::now();
    let talking = async {
        loop {
            node.say(Ping::default()).await;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    };
    let ended = tokio::select! {
        ended = ended => ended.unwrap(),
        () = talking => unreachable!("it talks for ever"),
    };
    assert!(matches!(ended, server::Ended::Write(WriteError::Stuck)), "{ended}");
    assert_eq!(start.elapsed().as_secs(), 45);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_gets_everything() {
    let (cp, dp) = (ControlPlane::new(), DataPlane::new());
    // One message that takes much longer than a link may be silent.
    let head = cp.source.put_long(1, "one.test", 1 << 20);
    let start = Instant::now();
    let arrived = async {
        while dp.revision() != head.id {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    };
    tokio::select! {
        ended = join_slowly(&dp, &cp, 8 * 1024, Duration::from_secs(10)) => panic!("{ended:?}"),
        () = arrived => {}
    }
    assert!(start.elapsed() > Duration::from_secs(1200), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_stops_reading_in_the_middle_is_let_go() {
    let cp = ControlPlane::new();
    cp.source.put_long(1, "one.test", 1 << 20);
    let (ours, theirs) = tokio::io::duplex(8 * 1024);
    let ended = run_hub(&cp.hub, theirs);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let hello = Message::from(hello(&identity(), None)).encode();
    writer.write_all(&hello).await.unwrap();
    let talking = tokio::spawn(async move {
        loop {
            writer.write_all(&Message::from(Ping::default()).encode()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
    });
    let mut piece = vec![0; 4 * 1024];
    for _ in 0..100 {
        reader.read_exact(&mut piece).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let stopped = Instant::now();
    let ended = ended.await.unwrap();
    talking.abort();
    assert!(matches!(ended, server::Ended::Write(WriteError::Stuck)), "{ended}");
    // What it read last, it read 10 s before.
    assert_eq!(stopped.elapsed().as_secs(), 35);
}

/// Four that are slow hold four revisions; a fifth is not made for whoever can do without.
#[tokio::test(start_paused = true)]
async fn slow_nodes_do_not_make_the_control_plane_hold_every_revision() {
    let cp = ControlPlane::new();
    (0..3).for_each(|number| drop(cp.source.put_long(number, "long.test", 300 << 10)));
    let mut slow = Vec::new();
    for number in 1..=4 {
        let head = cp.source.put(9, &format!("host-{number}.test"));
        let (mut node, _) = scripted_node(&cp, 1024);
        node.say(hello(&identity(), None)).await;
        assert!(matches!(node.hear().await, Message::Welcome(_)));
        assert_eq!(node.begun().await, Some(head.id));
        slow.push((node, head.id));
    }

    let head = cp.source.put(9, "newest.test").id;
    let shared = slow[3].1;
    let (mut node, _) = scripted_node(&cp, PIPE);
    node.say(hello(&identity(), None)).await;
    assert_eq!(node.update().await, (None, shared, 4));
    assert_eq!(node.update().await, (Some(shared), head, 1));

    // For one that cannot, the oldest makes way, and who was being sent that begins again.
    node.say(Resync { reason: "test".to_owned() }).await;
    assert_eq!(node.update().await, (None, head, 4));
    let (first, _) = &mut slow[0];
    assert_eq!(first.begun().await, None, "it was on its way");
    assert_eq!(first.update().await, (None, head, 4));
    let (second, id) = &mut slow[1];
    assert_eq!(second.rest().await, 3);
    assert_eq!(second.update().await, (Some(*id), head, 1));
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_stops_reading_is_given_up() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (ours, theirs) = tokio::io::duplex(256);
    let ended = run_node(&dp.node, theirs);
    let mut hub = Script::new(ours);
    assert!(matches!(hub.hear().await, Message::Hello(_)));
    hub.say(welcome(&source)).await;
    let talking = async {
        loop {
            tokio::time::sleep(Duration::from_secs(20)).await;
            hub.say(Pong {}).await;
        }
    };
    let ended = tokio::select! {
        ended = ended => ended.unwrap(),
        () = talking => unreachable!("it talks for ever"),
    };
    assert!(matches!(ended, client::Ended::Write(WriteError::Stuck)), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_of_no_use_is_given_up() {
    let (source, dp) = (Source::new(), DataPlane::new());
    let (mut hub, ended) = scripted_hub(&dp, &source).await;
    let elsewhere: Revision = (*signed(&source.key, 1, 7, Config::default())).clone();
    for number in 0..10 {
        let next = source.put(number, "one.test");
        hub.say(Step { changes: Vec::new(), ..step(&elsewhere, &next) }).await;
        assert!(matches!(hub.hear().await, Message::Resync(_)));
    }
    assert!(matches!(ended.await.unwrap(), client::Ended::Vain));
}
