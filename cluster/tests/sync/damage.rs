//! Bytes that are not what they should be, at both ends.

use cluster::protocol::{Message, Ping, Pong};
use cluster::{client, server};
use model::Revision;
use tokio::io::AsyncWriteExt;

use crate::script::*;
use crate::support::*;

/// All that this end says before it is gone.
async fn only(end: &mut Script, bytes: &[u8]) {
    end.writer.write_all(bytes).await.unwrap();
    end.writer.shutdown().await.unwrap();
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
        only(&mut node, bytes).await;
        let ended = ended.await.unwrap();
        assert!(
            !matches!(ended, server::Ended::Left(_) | server::Ended::Stopped),
            "{bytes:?}: {ended:?}"
        );

        let (source, dp) = (Source::new(), DataPlane::new());
        let (mut hub, ended) = scripted_hub(&dp, &source).await;
        only(&mut hub, bytes).await;
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
        only(&mut node, &damaged).await;
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
        only(&mut hub, &damaged).await;
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
