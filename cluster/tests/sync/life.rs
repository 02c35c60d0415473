//! How links live and end, and what is left of them in the rows.

use std::time::Duration;

use cluster::protocol::frame::FrameError;
use cluster::protocol::{Bye, Message, Pong};
use cluster::{client, server};
use model::vitals::NodeStatus;
use tokio::time::Instant;

use crate::script::*;
use crate::support::*;

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
