//! The messages between a data plane and its control plane.
//!
//! Each is a msgpack map with named fields in a [`frame`]. A field or a message
//! that only a newer peer knows is skipped; [`version`] says who may talk to
//! whom at all. Order: `Hello`, then `Welcome` or `Refused`, then whatever each
//! has to say until `Bye` or silence.

pub mod frame;
pub mod version;
pub mod bounds;
pub mod settings;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use model::RevisionId;
use model::delta::Change;
use model::revision::Signature;
use model::vitals::Refusal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use frame::RawMessage;
use settings::Settings;
use version::ProtocolRange;

use crate::ed25519::PublicKey;

/// How often a data plane pings, as Kong's do.
pub const HEARTBEAT: Duration = Duration::from_secs(30);

/// After this long without a byte either end drops the link: one and a half heartbeats.
pub const SILENCE: Duration = Duration::from_secs(45);

/// How deep a message may nest.
const MAX_DEPTH: usize = 32;

macro_rules! messages {
    ($($(#[$doc:meta])* $kind:literal => $name:ident,)*) => {
        /// Every message, by kind.
        #[expect(clippy::large_enum_variant, reason = "there is one hello per link, and it is soon gone")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum Message {
            $($(#[$doc])* $name($name),)*
        }

        impl Message {
            /// The message as it goes on the wire.
            pub fn encode(&self) -> Bytes {
                match self { $(Message::$name(message) => encode($kind, message),)* }
            }

            /// Understands a message; none if it is of a kind this version does not know.
            pub fn decode(raw: &RawMessage) -> Result<Option<Message>, Malformed> {
                match raw.kind {
                    $($kind => decode(raw).map(Message::$name).map(Some),)*
                    _ => Ok(None),
                }
            }

            /// The message's name, for logs.
            pub fn name(&self) -> &'static str {
                match self { $(Message::$name(_) => stringify!($name),)* }
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self { Message::$name(message) }
        })*
    };
}

messages! {
    /// DP: who I am and what I have.
    1 => Hello,
    /// CP: you are taken on.
    2 => Welcome,
    /// CP: you are not, and the link ends.
    3 => Refused,
    /// CP: a whole configuration begins.
    4 => Full,
    /// CP: a step from one you have begins.
    5 => Step,
    /// CP: more of the configuration or step.
    6 => Part,
    /// DP: this is what my workers serve.
    7 => Ack,
    /// DP: this I do not serve, and why.
    8 => Nack,
    /// DP: send me everything.
    9 => Resync,
    /// DP: alive, and still serving this.
    10 => Ping,
    /// CP: alive.
    11 => Pong,
    /// Either: I am leaving on purpose.
    12 => Bye,
}

/// A message that is not what its kind says.
#[derive(Debug, thiserror::Error)]
#[error("a message of kind {kind} cannot be read")]
pub struct Malformed {
    /// Which message.
    pub kind: u8,
    /// What is wrong with it.
    #[source]
    pub source: rmp_serde::decode::Error,
}

/// A data plane introduces itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol versions it speaks.
    pub protocol: ProtocolRange,
    /// What it can do beyond the bare protocol.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Its id.
    pub node: Uuid,
    /// Its public key.
    pub key: Fixed<32>,
    /// Its signature over this connection (see [`crate::identity`]).
    pub proof: Fixed<64>,
    /// When this process started, in nanoseconds since 1970: a later one replaces an earlier one.
    pub instance: u64,
    /// Its host's name.
    pub hostname: String,
    /// Its release.
    pub version: String,
    /// The operator's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Those of its settings that a control plane should have alike.
    #[serde(default)]
    pub settings: Settings,
    /// Its plugins and their versions.
    #[serde(default)]
    pub plugins: BTreeMap<String, String>,
    /// The newest revision it has verified: where a delta may start.
    #[serde(default)]
    pub have: Option<Signed>,
    /// What it serves.
    #[serde(default)]
    pub serving: Ack,
    /// What it last refused to serve.
    #[serde(default)]
    pub refused: Option<Refusal>,
}

/// A revision's name with the signature that vouches for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signed {
    /// Which revision.
    pub id: RevisionId,
    /// Whose.
    pub signature: Signature,
}

/// The control plane takes a data plane on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version of this link.
    pub protocol: u16,
    /// What the control plane can do beyond it.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// The key that signs this cluster's revisions.
    pub trust: Fixed<32>,
    /// The control plane's release.
    pub version: String,
    /// The newest revision.
    pub head: RevisionId,
    /// Those of its settings that a data plane should have alike.
    #[serde(default)]
    pub settings: Settings,
}

/// The control plane turns a data plane away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refused {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub text: String,
}

/// Why a data plane was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No common protocol version.
    Protocol,
    /// The releases do not go together.
    Version,
    /// The id is not that of the key, or the key was not proven.
    Identity,
    /// A newer process of the same node is connected.
    Superseded,
    /// As many data planes are connected as the control plane takes on.
    Full,
    /// The first message was not a hello.
    Hello,
    /// A reason only a newer control plane knows.
    #[serde(other)]
    Other,
}

/// A whole configuration; its entities follow here and in [`Part`]s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Full {
    /// Which revision.
    pub id: RevisionId,
    /// Who vouches for it.
    pub signature: Signature,
    /// Its first entities.
    pub changes: Vec<Change>,
    /// Whether a [`Part`] follows.
    #[serde(default)]
    pub more: bool,
}

/// A step between two revisions; further changes follow in [`Part`]s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Where it starts.
    pub parent: RevisionId,
    /// Where it leads.
    pub id: RevisionId,
    /// Who vouches for that.
    pub signature: Signature,
    /// Its first changes.
    pub changes: Vec<Change>,
    /// Whether a [`Part`] follows.
    #[serde(default)]
    pub more: bool,
}

/// The next piece of a [`Full`] or [`Step`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its entities.
    pub changes: Vec<Change>,
    /// Whether another follows.
    #[serde(default)]
    pub more: bool,
}

/// What a data plane serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The revision all its workers serve.
    #[serde(default)]
    pub effective: Option<RevisionId>,
    /// Whether that revision would survive a restart.
    #[serde(default)]
    pub cached: bool,
}

/// What a data plane does not serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nack {
    /// Which revision and why.
    pub refusal: Refusal,
}

/// A data plane cannot use a delta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resync {
    /// Why, for the control plane's log.
    pub reason: String,
}

/// A heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// What the data plane serves.
    #[serde(default)]
    pub serving: Ack,
}

/// A heartbeat's answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {}

/// The last message of a link that ends on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bye {
    /// Why, for the other end's log.
    pub reason: String,
}

/// Exactly `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Fixed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Bytes::deserialize(deserializer)?;
        <[u8; N]>::try_from(&*bytes)
            .map(Self)
            .map_err(|_| serde::de::Error::invalid_length(bytes.len(), &"exact bytes"))
    }
}

impl From<PublicKey> for Fixed<32> {
    fn from(key: PublicKey) -> Self {
        Self(*key.as_bytes())
    }
}

impl From<Fixed<32>> for PublicKey {
    fn from(bytes: Fixed<32>) -> Self {
        PublicKey::from_bytes(bytes.0)
    }
}

fn encode<M: Serialize>(kind: u8, message: &M) -> Bytes {
    let body = rmp_serde::to_vec_named(message).expect("messages are maps of plain values");
    frame::encode(kind, &body)
}

fn decode<M: DeserializeOwned>(raw: &RawMessage) -> Result<M, Malformed> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(&raw.body[..]);
    decoder.set_max_depth(MAX_DEPTH);
    M::deserialize(&mut decoder).map_err(|source| Malformed { kind: raw.kind, source })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(wire: &[u8]) -> RawMessage {
        RawMessage { kind: wire[4], body: Bytes::copy_from_slice(&wire[frame::HEADER..]) }
    }

    fn hello() -> Hello {
        Hello {
            protocol: version::PROTOCOL,
            capabilities: vec![version::DELTA.to_owned()],
            node: Uuid::from_u128(7),
            key: Fixed([1; 32]),
            proof: Fixed([2; 64]),
            instance: 3,
            hostname: "dp-1".to_owned(),
            version: "0.1.0".to_owned(),
            labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
            settings: BTreeMap::from([("router_priority".to_owned(), "documented".to_owned())]),
            plugins: BTreeMap::new(),
            have: Some(Signed {
                id: RevisionId::default(),
                signature: Signature::from_bytes([5; 64]),
            }),
            serving: Ack { effective: Some(RevisionId::default()), cached: true },
            refused: None,
        }
    }

    #[test]
    fn messages_go_round() {
        for message in [
            Message::from(hello()),
            Refused { reason: Reason::Version, text: "too new".to_owned() }.into(),
            Ping::default().into(),
            Pong {}.into(),
        ] {
            assert_eq!(Message::decode(&read(&message.encode())).expect("reads"), Some(message));
        }
    }

    #[test]
    fn what_only_a_newer_peer_knows_is_skipped() {
        let newer = RawMessage { kind: 200, body: Bytes::from_static(b"whatever") };
        assert_eq!(Message::decode(&newer).expect("is skipped"), None);

        #[derive(Serialize)]
        struct NewerRefused {
            reason: &'static str,
            text: &'static str,
            retry_after: u32,
        }
        let wire = encode(3, &NewerRefused { reason: "quota", text: "full", retry_after: 9 });
        let expected = Refused { reason: Reason::Other, text: "full".to_owned() };
        assert_eq!(Message::decode(&read(&wire)).expect("reads"), Some(expected.into()));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoder_panic(kind in 0u8..16, body in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::decode(&RawMessage { kind, body: body.into() });
        }

        #[test]
        fn nor_does_a_damaged_message(at in 0usize..1000, bit in 0u8..8) {
            let mut wire = Message::from(hello()).encode().to_vec();
            let at = frame::HEADER + at % (wire.len() - frame::HEADER);
            wire[at] ^= 1 << bit;
            let _ = Message::decode(&read(&wire));
        }
    }
}
