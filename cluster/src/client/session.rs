//! A data plane's side of one conversation, over any stream.
//!
//! It says what it has, takes what the control plane sends, and reports what
//! its workers serve. Nothing is published that [`super::incoming`] has not
//! checked, and an older revision never replaces a newer one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, error, info, warn};

use super::incoming::{Incoming, Outcome};
use super::{Node, Status};
use crate::log::printable;
use crate::protocol::frame::{self, FrameError, FrameReader, WriteError};
use crate::protocol::settings::{differing, told};
use crate::protocol::version::{CAPABILITIES, PROTOCOL};
use crate::protocol::{
    Bye, HEARTBEAT, Hello, Malformed, Message, Nack, Ping, Reason, Resync, Signed, Welcome,
};
use crate::trust::TrustError;

/// The longest message of a control plane: one entity may fill it.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// How many messages in a row may lead to nothing before the link is given up.
const VAIN: u32 = 10;

/// How a link ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The control plane said goodbye.
    #[error("it said goodbye: {0}")]
    Left(String),

    /// The control plane closed the link without a word.
    #[error("it closed the link")]
    Closed,

    /// This data plane is stopping.
    #[error("this data plane is stopping")]
    Stopped,

    /// The control plane does not take this node on.
    #[error("it turned this node away: {text}")]
    TurnedAway {
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        text: String,
    },

    /// The control plane is not the one this node trusts.
    #[error(transparent)]
    Untrusted(#[from] TrustError),

    /// It said something that is not its to say, or not now.
    #[error("it sent {0}, which has no place here")]
    OutOfPlace(&'static str),

    /// Nothing it sent could be used, again and again.
    #[error("{VAIN} times in a row it sent what this node cannot use")]
    Vain,

    /// It sent bytes that are not our protocol, fell silent, or the link broke.
    #[error(transparent)]
    Frame(#[from] FrameError),

    /// It sent a message that cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),

    /// It takes nothing of what it is sent, or the link broke.
    #[error(transparent)]
    Write(#[from] WriteError),

    /// This node could not prove its key.
    #[error("the node key cannot be used")]
    Key(#[from] boring::error::ErrorStack),
}

/// One conversation.
struct Session<'a, IO> {
    node: &'a Node,
    control_plane: &'a str,
    reader: FrameReader<ReadHalf<IO>>,
    writer: WriteHalf<IO>,
    status: watch::Receiver<Status>,
    told: Status,
    incoming: Incoming,
    /// How many messages in a row have led to nothing.
    vain: u32,
}

/// Carries a conversation to its end.
pub(super) async fn run<IO>(
    node: &Node,
    io: IO,
    binding: &[u8; 32],
    control_plane: &str,
    stopped: impl Future<Output = ()>,
) -> Ended
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = tokio::io::split(io);
    let mut status = node.status.subscribe();
    let told = status.borrow_and_update().clone();
    let mut session = Session {
        node,
        control_plane,
        reader: FrameReader::new(reader, MAX_MESSAGE_BYTES),
        writer,
        status,
        told,
        incoming: Incoming::default(),
        vain: 0,
    };
    tokio::pin!(stopped);
    let introduced = tokio::select! {
        introduced = session.introduce(binding) => introduced,
        () = &mut stopped => return Ended::Stopped, // before it was taken on, there is nobody to tell
    };
    match introduced {
        Ok(()) => {}
        Err(Ended::Write(error)) => return session.last_words(error).await,
        Err(ended) => return ended,
    }
    match session.converse(stopped).await {
        Err(Ended::Write(error)) => session.last_words(error).await,
        Ok(ended) | Err(ended) => ended,
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Session<'_, IO> {
    /// Says hello, and waits to be taken on by the control plane this node trusts.
    async fn introduce(&mut self, binding: &[u8; 32]) -> Result<(), Ended> {
        let hello = self.hello(binding)?;
        self.say(hello).await?;
        match self.hear().await? {
            Some(Message::Welcome(welcome)) => self.welcomed(&welcome),
            Some(Message::Refused(refused)) => {
                Err(Ended::TurnedAway { reason: refused.reason, text: printable(&refused.text) })
            }
            Some(Message::Bye(bye)) => Err(Ended::Left(printable(&bye.reason))),
            Some(other) => Err(Ended::OutOfPlace(other.name())),
            None => Err(Ended::OutOfPlace("an unknown message")),
        }
    }

    fn hello(&self, binding: &[u8; 32]) -> Result<Hello, Ended> {
        let node = self.node;
        let newest = node.revisions.borrow();
        let have = newest.signature.map(|signature| Signed { id: newest.id, signature });
        Ok(Hello {
            protocol: PROTOCOL,
            capabilities: CAPABILITIES.iter().map(|c| (*c).to_owned()).collect(),
            node: node.identity.id(),
            key: node.identity.public().into(),
            proof: crate::protocol::Fixed(node.identity.prove(binding)?),
            instance: node.instance,
            hostname: node.hostname.clone(),
            version: node.version.clone(),
            labels: node.labels.clone(),
            settings: node.settings.clone(),
            plugins: Default::default(),
            have,
            serving: self.told.serving,
            refused: self.told.refused.clone(),
        })
    }

    fn welcomed(&mut self, welcome: &Welcome) -> Result<(), Ended> {
        let key = welcome.trust.into();
        if self.node.trust.meet(key)? {
            info!("[clustering] first contact: this node now trusts revisions signed by {key}");
        }
        let have = self.node.revisions.borrow().id;
        info!(
            "[clustering] connected to control plane {}: version {}, its revision is {}, ours {have}",
            self.control_plane,
            printable(&welcome.version),
            welcome.head
        );
        self.compare(welcome);
        Ok(())
    }

    /// Warns of what the control plane has set otherwise.
    fn compare(&self, welcome: &Welcome) {
        let others = differing(&welcome.settings, &self.node.settings);
        if !others.is_empty() {
            warn!(
                "[clustering] control plane {} has other settings than this node: {}; what it checks and \
                 explains is not what this node does",
                self.control_plane,
                printable(&told(&others, &self.node.settings))
            );
        }
    }

    async fn converse(
        &mut self,
        mut stopped: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Ended, Ended> {
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = self.reader.next() => {
                    let raw = message?.ok_or(Ended::Closed)?;
                    match Message::decode(&raw)? {
                        Some(Message::Bye(bye)) => return Ok(Ended::Left(printable(&bye.reason))),
                        Some(message) => self.take(message).await?,
                        None => debug!("[clustering] skipped a message of unknown kind {}", raw.kind),
                    }
                }
                _ = heartbeat.tick() => self.say(Ping { serving: self.told.serving }).await?,
                changed = self.status.changed() => {
                    if changed.is_err() {
                        return Ok(Ended::Stopped);
                    }
                    self.report().await?;
                }
                () = &mut stopped => {
                    self.say(Bye { reason: "the data plane is stopping".to_owned() }).await?;
                    let _ = self.writer.shutdown().await; // it was told
                    return Ok(Ended::Stopped);
                }
            }
        }
    }

    async fn take(&mut self, message: Message) -> Result<(), Ended> {
        let have = Arc::clone(&self.node.revisions.borrow());
        let outcome = match message {
            Message::Full(full) => self.incoming.full(full, &have, &self.node.trust),
            Message::Step(step) => self.incoming.step(step, &have, &self.node.trust),
            Message::Part(part) => self.incoming.part(part),
            Message::Pong(_) => return Ok(()),
            other => return Err(Ended::OutOfPlace(other.name())),
        };
        match outcome {
            Outcome::Pending | Outcome::Known => {}
            Outcome::Ready(revision) => {
                debug!("[clustering] received revision {}", revision.id);
                self.node.publish(revision);
                self.vain = 0;
            }
            Outcome::Older(id) => {
                warn!(
                    "[clustering] control plane {} lags behind: it sent revision {id}, this node stays at {}",
                    self.control_plane, have.id
                );
                self.vain += 1;
            }
            Outcome::Resync(reason) => {
                warn!(
                    "[clustering] asking {} for the whole configuration: {reason}",
                    self.control_plane
                );
                self.say(Resync { reason }).await?;
                self.vain += 1;
            }
            Outcome::Refused(refusal) => {
                super::refuse(&self.node.status, refusal);
                self.vain += 1;
            }
            Outcome::Foreign(refusal) => {
                super::refuse(&self.node.status, refusal);
                self.vain = 0;
            }
            Outcome::OutOfPlace => return Err(Ended::OutOfPlace("Part")),
        }
        if self.vain < VAIN { Ok(()) } else { Err(Ended::Vain) }
    }

    /// Tells the control plane what is new about this node.
    async fn report(&mut self) -> Result<(), Ended> {
        let now = self.status.borrow_and_update().clone();
        if now.serving != self.told.serving {
            self.say(now.serving).await?;
        }
        if let Some(refusal) = now.refused.clone().filter(|_| now.refused != self.told.refused) {
            self.say(Nack { refusal }).await?;
        }
        self.told = now;
        Ok(())
    }

    async fn say(&mut self, message: impl Into<Message>) -> Result<(), Ended> {
        Ok(frame::write(&mut self.writer, &message.into().encode()).await?)
    }

    async fn hear(&mut self) -> Result<Option<Message>, Ended> {
        let raw = self.reader.next().await?.ok_or(Ended::Closed)?;
        Ok(Message::decode(&raw)?)
    }

    /// A write may fail before the reason for it has been read.
    async fn last_words(&mut self, failed: WriteError) -> Ended {
        match self.hear().await {
            Ok(Some(Message::Refused(refused))) => {
                Ended::TurnedAway { reason: refused.reason, text: printable(&refused.text) }
            }
            Ok(Some(Message::Bye(bye))) => Ended::Left(printable(&bye.reason)),
            Err(ended @ Ended::Frame(FrameError::Io(_))) => ended,
            _ => Ended::Write(failed),
        }
    }
}

/// Logs how a link ended, loudly where the operator must act.
pub(super) fn log(ended: &Ended, control_plane: &str, why: &str) {
    match ended {
        Ended::Stopped => info!("[clustering] left control plane {control_plane}"),
        Ended::Left(_)
        | Ended::Closed
        | Ended::Write(_)
        | Ended::Frame(FrameError::Io(_) | FrameError::Silence) => {
            warn!(
                "[clustering] lost control plane {control_plane}: {why}; serving on with what this node has"
            );
        }
        _ => error!(
            "[clustering] no link to control plane {control_plane}: {why}; serving on with what this node has"
        ),
    }
}
