//! Either end of a link, run by its owner or spoken by the test.

use std::sync::Arc;
use std::time::Duration;

use cluster::client::Node;
use cluster::ed25519::SigningKey;
use cluster::identity::Identity;
use cluster::protocol::frame::FrameReader;
use cluster::protocol::version::{CAPABILITIES, PROTOCOL};
use cluster::protocol::{Ack, Fixed, Full, Hello, Message, Signed, Step, Welcome};
use cluster::server::Hub;
use cluster::{client, server};
use model::delta;
use model::{Config, Revision, RevisionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::task::JoinHandle;

use crate::support::*;

pub const PIPE: usize = 64 * 1024;

/// Joins a data plane and a control plane.
pub fn join(
    dp: &DataPlane,
    cp: &ControlPlane,
) -> (JoinHandle<client::Ended>, JoinHandle<server::Ended>) {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    (run_node(&dp.node, ours), run_hub(&cp.hub, theirs))
}

/// Joins them by a link on which the control plane's words take their time: so many bytes, then so long.
pub fn join_slowly(
    dp: &DataPlane,
    cp: &ControlPlane,
    bytes: usize,
    apart: Duration,
) -> JoinHandle<server::Ended> {
    let (ours, far) = tokio::io::duplex(bytes);
    let (near, theirs) = tokio::io::duplex(bytes);
    let (mut down, mut up) = tokio::io::split(near);
    let (mut far_up, mut far_down) = tokio::io::split(far);
    tokio::spawn(async move { tokio::io::copy(&mut far_up, &mut up).await });
    tokio::spawn(async move {
        let mut piece = vec![0; bytes];
        loop {
            let count = down.read(&mut piece).await.unwrap();
            tokio::time::sleep(apart).await;
            far_down.write_all(&piece[..count]).await.unwrap();
        }
    });
    run_node(&dp.node, ours);
    run_hub(&cp.hub, theirs)
}

pub fn run_node(node: &Arc<Node>, io: DuplexStream) -> JoinHandle<client::Ended> {
    let node = Arc::clone(node);
    tokio::spawn(
        async move { node.converse(io, &BINDING, "cp:8005", std::future::pending()).await },
    )
}

pub fn run_hub(hub: &Arc<Hub>, io: DuplexStream) -> JoinHandle<server::Ended> {
    let hub = Arc::clone(hub);
    tokio::spawn(async move { hub.converse(io, &peer()).await })
}

/// One end of a link, spoken by the test.
pub struct Script {
    pub reader: FrameReader<ReadHalf<DuplexStream>>,
    pub writer: WriteHalf<DuplexStream>,
}

impl Script {
    pub fn new(io: DuplexStream) -> Self {
        let (reader, writer) = tokio::io::split(io);
        Self { reader: FrameReader::new(reader, 64 << 20), writer }
    }

    pub async fn hear(&mut self) -> Message {
        let raw = self.reader.next().await.unwrap().expect("the link is open");
        Message::decode(&raw).unwrap().expect("is a known message")
    }

    pub async fn say(&mut self, message: impl Into<Message>) {
        self.writer.write_all(&message.into().encode()).await.unwrap();
    }

    /// The next thing the control plane sends, whole, after whatever else.
    pub async fn update(&mut self) -> (Option<RevisionId>, RevisionId, usize) {
        let (parent, id, mut count, more) = loop {
            match self.hear().await {
                Message::Full(full) => break (None, full.id, full.changes.len(), full.more),
                Message::Step(step) => {
                    break (Some(step.parent), step.id, step.changes.len(), step.more);
                }
                Message::Welcome(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        };
        if more {
            count += self.rest().await;
        }
        (parent, id, count)
    }

    /// How many changes are in the parts that follow.
    pub async fn rest(&mut self) -> usize {
        let mut count = 0;
        loop {
            let Message::Part(part) = self.hear().await else { panic!("a part is missing") };
            count += part.changes.len();
            if !part.more {
                return count;
            }
        }
    }

    /// One message of a whole configuration that has more of them: which revision begins there, if one does.
    pub async fn begun(&mut self) -> Option<RevisionId> {
        match self.hear().await {
            Message::Full(full) if full.more => Some(full.id),
            Message::Part(part) if part.more => None,
            other => panic!("{other:?}"),
        }
    }
}

/// A data plane spoken by the test.
pub fn scripted_node(cp: &ControlPlane, pipe: usize) -> (Script, JoinHandle<server::Ended>) {
    let (ours, theirs) = tokio::io::duplex(pipe);
    (Script::new(ours), run_hub(&cp.hub, theirs))
}

/// A control plane spoken by the test, up to its welcome.
pub async fn scripted_hub(dp: &DataPlane, source: &Source) -> (Script, JoinHandle<client::Ended>) {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let ended = run_node(&dp.node, theirs);
    let mut script = Script::new(ours);
    assert!(matches!(script.hear().await, Message::Hello(_)));
    script.say(welcome(source)).await;
    (script, ended)
}

pub fn welcome(source: &Source) -> Welcome {
    Welcome {
        protocol: 1,
        capabilities: Vec::new(),
        trust: source.key.public().into(),
        version: "1.4.2".to_owned(),
        head: source.head().id,
        settings: Default::default(),
    }
}

pub fn hello(identity: &Identity, have: Option<&Revision>) -> Hello {
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
        settings: Default::default(),
        plugins: Default::default(),
        have: have.map(|have| Signed { id: have.id, signature: have.signature.unwrap() }),
        serving: Ack::default(),
        refused: None,
    }
}

pub fn identity() -> Identity {
    Identity::of(SigningKey::generate().unwrap())
}

pub fn full(revision: &Revision) -> Full {
    let changes = delta::changes(&Config::default(), &revision.config);
    Full { id: revision.id, signature: revision.signature.unwrap(), changes, more: false }
}

pub fn step(from: &Revision, to: &Revision) -> Step {
    let changes = delta::changes(&from.config, &to.config);
    Step { parent: from.id, id: to.id, signature: to.signature.unwrap(), changes, more: false }
}
