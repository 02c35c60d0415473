//! One data plane's conversation, over any stream.
//!
//! Two futures share the link: one listens, one speaks. The speaker always
//! goes from what it last wrote to the newest revision, so whatever was
//! superseded while a slow data plane was being written to is not sent, and
//! no data plane waits for another. What may be sent instead, where many slow
//! ones would fill the memory, is [`super::history`]'s to say.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use model::{Revision, RevisionId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error, info, warn};

use super::admit::{INTRODUCTION, Who, admit, compare, introduction, refuse};
use super::history::{Next, Update, Wire};
use super::nodes::Link;
use super::{Hub, Peer};
use crate::log::{chain, printable};
use crate::protocol::frame::{self, FrameError, FrameReader, WriteError};
use crate::protocol::version::{self, CAPABILITIES, PROTOCOL};
use crate::protocol::{Bye, Hello, Malformed, Message, Pong, Reason, Signed, Welcome, bounds};
use crate::trust;

/// How long a leaving control plane waits for a data plane to take its leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often a data plane may ask for the whole configuration.
const RESYNC: Duration = Duration::from_secs(10);

/// How many messages of a data plane are taken as they come, and how far apart those after them. No data
/// plane of ours comes near; what others send costs them more than us.
const BURST: u32 = 1000;
const APART: Duration = Duration::from_millis(5);

/// How a link ended.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The data plane said goodbye.
    #[error("it left: {0}")]
    Left(String),

    /// The data plane closed the link without a word.
    #[error("it closed the link")]
    Closed,

    /// A newer link of the same node took over.
    #[error("a newer link of the same node took over")]
    Evicted,

    /// This control plane is stopping.
    #[error("this control plane is stopping")]
    Stopped,

    /// The data plane was turned away.
    #[error("turned away: {text}")]
    TurnedAway {
        /// Why, for programs.
        reason: Reason,
        /// Why, for people.
        text: String,
    },

    /// It did not introduce itself in time.
    #[error("it did not introduce itself within {} s", INTRODUCTION.as_secs())]
    Mute,

    /// It said something that is not its to say, or not now.
    #[error("it sent {0}, which has no place here")]
    OutOfPlace(&'static str),

    /// It sent bytes that are not our protocol, fell silent, or its link broke.
    #[error(transparent)]
    Frame(#[from] FrameError),

    /// It sent a message that cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),

    /// It takes nothing of what it is sent, or its link broke.
    #[error(transparent)]
    Write(#[from] WriteError),

    /// A bug of ours: it connects again, and gets another try.
    #[error("deciding what to send it failed")]
    Planning(#[source] JoinError),
}

impl Ended {
    /// Whether links are expected to end like this.
    fn is_ordinary(&self) -> bool {
        matches!(self, Ended::Left(_) | Ended::Closed | Ended::Evicted | Ended::Stopped)
    }
}

/// What the listener asks of the speaker.
enum Want {
    Pong,
    Everything,
}

/// A data plane that was taken on.
pub(super) struct Admitted<IO> {
    reader: FrameReader<ReadHalf<IO>>,
    writer: WriteHalf<IO>,
    hello: Hello,
    link: Link,
    who: Who,
}

/// Hears who it is, and takes it on or tells it why not.
pub(super) async fn introduce<IO>(hub: &Hub, io: IO, peer: &Peer) -> Result<Admitted<IO>, Ended>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, mut writer) = tokio::io::split(io);
    let mut reader = FrameReader::new(reader, bounds::MAX_MESSAGE_BYTES);
    let hello = match introduction(&mut reader).await {
        Ok(hello) => hello,
        Err(ended) => {
            warn!("[clustering] data plane at {}: {}", peer.address, chain(&ended));
            refuse(&mut writer, Reason::Hello, ended.to_string()).await;
            return Err(ended);
        }
    };
    let who = Who::new(&hello, peer);
    match admit(hub, &hello, peer) {
        Ok(link) => {
            compare(hub, &hello, &who);
            Ok(Admitted { reader, writer, hello, link, who })
        }
        Err(error) => {
            error.log(&who);
            let (reason, text) = (error.reason(), error.to_string());
            refuse(&mut writer, reason, text.clone()).await;
            Err(Ended::TurnedAway { reason, text })
        }
    }
}

/// Carries a conversation to its end, and logs how it went.
pub(super) async fn run<IO>(hub: &Hub, admitted: Admitted<IO>) -> Ended
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let Admitted { reader, writer, hello, link, who } = admitted;
    let ended = converse(hub, reader, writer, &hello, &link, &who).await;
    if matches!(ended, Ended::Frame(FrameError::Silence)) {
        link.fell_silent();
    }
    if ended.is_ordinary() {
        info!("[clustering] data plane disconnected {who}: {ended}");
    } else {
        warn!("[clustering] data plane disconnected {who}: {}", chain(&ended));
    }
    ended
}

async fn converse<IO>(
    hub: &Hub,
    reader: FrameReader<ReadHalf<IO>>,
    writer: WriteHalf<IO>,
    hello: &Hello,
    link: &Link,
    who: &Who,
) -> Ended
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (wants, wanted) = mpsc::channel(8);
    let speaker = Speaker {
        hub,
        link,
        who,
        writer,
        wanted,
        heads: hub.heads.clone(),
        have: hello.have.as_ref().map(|have| have.id),
        steps: hello.capabilities.iter().any(|c| c == version::DELTA),
        complained: None,
        asked: false,
        anew: false,
        due: Instant::now(),
    };
    tokio::select! {
        ended = listen(reader, link, who, wants) => ended,
        ended = speaker.run(hello) => ended.unwrap_or_else(|ended| ended),
        () = link.evicted() => Ended::Evicted,
        // The speaker says goodbye; one that is stuck in a write does not get to.
        () = async { hub.stopped().await; sleep(FAREWELL).await } => Ended::Stopped,
    }
}

/// Hears the data plane out. Every message counts as a sign of life.
async fn listen<R: AsyncRead + Unpin>(
    mut reader: FrameReader<R>,
    link: &Link,
    who: &Who,
    wants: mpsc::Sender<Want>,
) -> Ended {
    let mut throttle = Throttle::default();
    loop {
        throttle.wait().await;
        let raw = match reader.next().await {
            Ok(Some(raw)) => raw,
            Ok(None) => return Ended::Closed,
            Err(error) => return error.into(),
        };
        link.heard();
        match Message::decode(&raw) {
            Ok(Some(Message::Ping(ping))) => {
                link.serves(ping.serving);
                let _ = wants.try_send(Want::Pong); // a full queue holds a pong already
            }
            Ok(Some(Message::Ack(ack))) => {
                if let (true, Some(id)) = (link.serves(ack), ack.effective) {
                    info!(
                        "[clustering] data plane serves revision {id} {who}{}",
                        if ack.cached { "" } else { ", not cached" }
                    );
                }
            }
            Ok(Some(Message::Nack(nack))) => {
                let refusal = bounds::refusal(nack.refusal);
                let problems: Vec<_> = refusal.problems.iter().map(ToString::to_string).collect();
                let problems = printable(&problems.join("; "));
                error!(
                    "[clustering] data plane refused revision {} {who}: {problems}",
                    refusal.revision
                );
                link.refuses(refusal);
            }
            Ok(Some(Message::Resync(resync))) => {
                warn!(
                    "[clustering] data plane asks for the whole configuration {who}: {}",
                    printable(&resync.reason)
                );
                if wants.send(Want::Everything).await.is_err() {
                    return Ended::Stopped;
                }
            }
            Ok(Some(Message::Bye(bye))) => return Ended::Left(printable(&bye.reason)),
            Ok(Some(other)) => return Ended::OutOfPlace(other.name()),
            Ok(None) => debug!("[clustering] skipped a message of unknown kind {} {who}", raw.kind),
            Err(malformed) => return malformed.into(),
        }
    }
}

/// Keeps messages apart that come faster than anybody needs to send them.
#[derive(Default)]
struct Throttle {
    /// When those so far would have come, had they come [`APART`].
    due: Option<Instant>,
}

impl Throttle {
    async fn wait(&mut self) {
        let now = Instant::now();
        let due = self.due.map_or(now, |due| due.max(now)) + APART;
        self.due = Some(due);
        if due - now > APART * BURST {
            sleep(due - now - APART * BURST).await;
        }
    }
}

/// Brings one data plane to the newest revision, again and again.
struct Speaker<'a, W> {
    hub: &'a Hub,
    link: &'a Link,
    who: &'a Who,
    writer: W,
    wanted: mpsc::Receiver<Want>,
    heads: watch::Receiver<Arc<Revision>>,
    /// What the data plane has once it has read all that was written.
    have: Option<RevisionId>,
    /// Whether it takes steps.
    steps: bool,
    /// The head about which something has been logged already.
    complained: Option<RevisionId>,
    /// Whether everything has been asked for, and when that is granted.
    asked: bool,
    due: Instant,
    /// Whether it has been granted, and nothing less will do: what the data plane has is not known.
    anew: bool,
}

impl<W: AsyncWrite + Unpin> Speaker<'_, W> {
    async fn run(mut self, hello: &Hello) -> Result<Ended, Ended> {
        self.welcome(hello).await?;
        loop {
            // Who waits for everything has no use for a step.
            let more = !self.asked && self.update(hello.have.as_ref()).await?;
            tokio::select! {
                () = ready(()), if more => {}
                changed = self.heads.changed() => if changed.is_err() {
                    return self.farewell().await;
                },
                want = self.wanted.recv() => match want {
                    Some(Want::Pong) => self.say(Pong {}).await?,
                    Some(Want::Everything) => self.asked = true,
                    None => return Ok(Ended::Closed),
                },
                () = sleep_until(self.due), if self.asked => {
                    (self.asked, self.anew, self.have) = (false, true, None);
                    self.due = Instant::now() + RESYNC;
                }
                () = self.hub.stopped() => return self.farewell().await,
            }
        }
    }

    async fn welcome(&mut self, hello: &Hello) -> Result<(), Ended> {
        let head = self.heads.borrow().id;
        let have = self.have.map_or_else(|| "nothing".to_owned(), |id| format!("revision {id}"));
        info!(
            "[clustering] data plane connected {}: version {}, has {have}, newest is {head}",
            self.who,
            printable(&hello.version)
        );
        self.say(Welcome {
            protocol: PROTOCOL.common(hello.protocol).unwrap_or(PROTOCOL.newest),
            capabilities: CAPABILITIES.iter().map(|c| (*c).to_owned()).collect(),
            trust: self.hub.trust.into(),
            version: self.hub.version.clone(),
            head,
            settings: self.hub.settings.clone(),
        })
        .await
    }

    /// Writes what is between the data plane and the newest revision, or says that there is more to write.
    async fn update(&mut self, hello: Option<&Signed>) -> Result<bool, Ended> {
        let head = self.heads.borrow_and_update().clone();
        let (kind, wire) = match self.plan(&head).await? {
            Update::Nothing => return Ok(false),
            Update::Step(wire) => ("delta", wire),
            Update::Full(wire) => ("full", wire),
            Update::Ahead => {
                self.ahead(&head, hello);
                return Ok(false);
            }
            Update::Unsigned => {
                self.complain(head.id, "nothing is sent: the newest revision is not signed");
                return Ok(false);
            }
        };
        let Some(bytes) = self.send(&wire).await? else {
            info!(
                "[clustering] begins again with a newer revision: data planes as slow as this one hold \
                 too many older ones {}",
                self.who
            );
            return Ok(true);
        };
        (self.have, self.anew) = (Some(wire.id), false);
        self.link.sent(wire.id);
        debug!("[clustering] sent revision {} ({kind}, {bytes} bytes) {}", wire.id, self.who);
        Ok(wire.id != head.id)
    }

    /// Writes it all, unless it is withdrawn before. Returns how much that was.
    async fn send(&mut self, wire: &Wire) -> Result<Option<usize>, Ended> {
        let mut bytes = 0;
        for at in 0.. {
            match wire.next(at) {
                Next::Message(message) => {
                    self.write(&message).await?;
                    bytes += message.len();
                }
                Next::End => return Ok(Some(bytes)),
                Next::Withdrawn => break,
            }
        }
        Ok(None)
    }

    async fn plan(&self, head: &Arc<Revision>) -> Result<Update, Ended> {
        if self.have == Some(head.id) {
            return Ok(Update::Nothing);
        }
        // Links that wait for the same encoding wait here, not on a thread each.
        let turn = Arc::clone(&self.hub.planning).acquire_owned().await;
        let (history, head) = (Arc::clone(&self.hub.history), Arc::clone(head));
        let (have, steps) = (self.have, self.steps && !self.anew);
        // Encoding a large configuration would hold up everyone else on this thread.
        let planning = tokio::task::spawn_blocking(move || {
            let _turn = turn; // kept to the end, also if the link ends first
            history.update(have, &head, steps)
        });
        planning.await.map_err(|error| {
            error!("[clustering] cannot tell what to send {}: {error}", self.who);
            Ended::Planning(error)
        })
    }

    /// The data plane has a later revision than this control plane.
    fn ahead(&mut self, head: &Revision, hello: Option<&Signed>) {
        self.complain(
            head.id,
            "nothing is sent: the data plane has a later revision than this control plane",
        );
        if let Some(have) =
            hello.filter(|have| trust::verify(&self.hub.trust, &have.id, &have.signature))
        {
            self.hub.note_ahead(have.id);
        }
    }

    fn complain(&mut self, head: RevisionId, what: &str) {
        if self.complained.replace(head) != Some(head) {
            let have = self.have.map_or_else(|| "none".to_owned(), |id| id.to_string());
            warn!("[clustering] {what} {} (data plane: {have}, control plane: {head})", self.who);
        }
    }

    async fn farewell(mut self) -> Result<Ended, Ended> {
        self.say(Bye { reason: "the control plane is stopping".to_owned() }).await?;
        let _ = self.writer.shutdown().await; // it was told
        Ok(Ended::Stopped)
    }

    async fn say(&mut self, message: impl Into<Message>) -> Result<(), Ended> {
        self.write(&message.into().encode()).await
    }

    async fn write(&mut self, wire: &[u8]) -> Result<(), Ended> {
        Ok(frame::write(&mut self.writer, wire).await?)
    }
}
