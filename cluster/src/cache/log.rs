//! The steps since a base, one frame each, appended and synced.
//!
//! A frame is a length, a check of that, a body and a tag; check and tag cover
//! the tag before, so that a frame means something in its place only. The first
//! body names the revision the log starts from, each other one is a [`Delta`].
//! A frame that stops short at the end of the file is no damage in itself: a node
//! that dies while writing leaves one. Anything else that does not fit is.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use blake3::Hash;
use model::{Delta, Revision, RevisionId};

use super::CacheError;
use super::files::{self, LOG};
use super::recover::Damage;
use super::seal::tag;

/// A longer step is a base of its own.
const MAX_STEP_BYTES: usize = 16 << 20;

/// Length and check.
const HEAD: usize = 8;

const TAG: usize = blake3::OUT_LEN;

/// What stops short is shorter.
const LONGEST_FRAME: u64 = (HEAD + MAX_STEP_BYTES + TAG) as u64;

/// What the first frame's check and tag cover instead of a tag.
const START: Hash = Hash::from_bytes([0; TAG]);

/// Appends to a log.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    /// What is acknowledged ends here.
    bytes: u64,
    frames: u64,
    previous: Hash,
    /// More may be in the file than that.
    dirty: bool,
}

/// A step as logs hold it. Each log makes a frame of its own of it.
pub(super) struct Step(Vec<u8>);

impl Step {
    /// The step between two revisions, unless it is too long for a log.
    pub(super) fn between(from: &Revision, to: &Revision) -> Option<Self> {
        let delta = Delta::between(from, to);
        let body = rmp_serde::to_vec_named(&delta).expect("a delta is a map of plain values");
        (body.len() <= MAX_STEP_BYTES).then_some(Self(body))
    }
}

/// Why a frame was not appended.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) source: io::Error,
    /// It was written, but not synced. A second sync could succeed without having written anything, so the
    /// log must not be continued.
    pub(super) unsynced: bool,
}

/// Where a log that was read ends.
#[derive(Debug)]
pub(super) struct End {
    path: PathBuf,
    bytes: u64,
    frames: u64,
    previous: Hash,
}

impl Writer {
    /// Begins the log of the base in this draft.
    pub(super) fn create(draft: &Path, base: RevisionId) -> Result<Self, CacheError> {
        let path = draft.join(LOG);
        let create = || {
            let file = files::create(&path)?;
            let mut log = Self { file, bytes: 0, frames: 0, previous: START, dirty: false };
            let body = rmp_serde::to_vec_named(&base).expect("an id is a map of plain values");
            log.append(&Step(body)).map_err(|failure| failure.source)?;
            log.frames = 0;
            Ok(log)
        };
        create().map_err(CacheError::io("write", &path))
    }

    /// How many steps there are.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a step, durably. If that fails, the next one takes its place.
    pub(super) fn append(&mut self, step: &Step) -> Result<(), Failure> {
        let frame = frame(&self.previous, &step.0);
        self.write(&frame).map_err(|source| Failure { source, unsynced: false })?;
        self.file.sync_data().map_err(|source| Failure { source, unsynced: true })?;
        self.advance(&frame);
        Ok(())
    }

    /// Appends a step that is durable elsewhere. The kernel writes it when it likes to.
    pub(super) fn follow(&mut self, step: &Step) -> io::Result<()> {
        let frame = frame(&self.previous, &step.0);
        self.write(&frame)?;
        self.advance(&frame);
        Ok(())
    }

    fn advance(&mut self, frame: &[u8]) {
        self.bytes += frame.len() as u64;
        self.frames += 1;
        if let Some(end) = frame.last_chunk::<TAG>() {
            self.previous = Hash::from_bytes(*end);
        }
        self.dirty = false;
    }

    /// Whether a reader of this generation would find what was appended. The file may have been removed,
    /// replaced or shortened since it was opened, and a write to it succeeds all the same.
    pub(super) fn is_in(&self, generation: &Path) -> bool {
        files::is_at(&self.file, &generation.join(LOG))
            && self.file.metadata().is_ok_and(|file| file.len() >= self.bytes)
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.dirty {
            self.cut()?;
        }
        self.dirty = true;
        self.file.write_all(frame).inspect_err(|_| {
            let _ = self.cut(); // gives a full disk its room back; else done before the next write
        })
    }

    /// Takes back what is not acknowledged.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.seek(SeekFrom::Start(self.bytes))?;
        self.dirty = false;
        Ok(())
    }
}

impl End {
    /// What follows the last whole frame: how many bytes, and the file at that place.
    pub(super) fn torn(&self) -> io::Result<Option<(u64, impl Read + use<>)>> {
        let mut file = File::open(&self.path)?;
        let torn = file.metadata()?.len().saturating_sub(self.bytes);
        file.seek(SeekFrom::Start(self.bytes))?;
        Ok((torn > 0).then(|| (torn, file.take(LONGEST_FRAME))))
    }

    /// Goes on where the log ends. What stops short after that is cut off.
    pub(super) fn resume(self) -> io::Result<Writer> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let Self { bytes, frames, previous, .. } = self;
        let mut log = Writer { file, bytes, frames, previous, dirty: true };
        log.cut()?;
        log.file.sync_data()?;
        Ok(log)
    }
}

fn frame(previous: &Hash, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("callers keep to MAX_STEP_BYTES").to_le_bytes();
    let mut frame = Vec::with_capacity(HEAD + body.len() + TAG);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&check(previous, &length));
    frame.extend_from_slice(body);
    frame.extend_from_slice(tag(b"frame", &[previous.as_bytes(), body]).as_bytes());
    frame
}

fn check(previous: &Hash, length: &[u8; 4]) -> [u8; 4] {
    let hash = tag(b"length", &[previous.as_bytes(), length]);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

/// Takes the steps of a generation's log, from the revision it starts from; `revision` is where that led
/// to, also if the log is damaged further on, or has a revision that is not to be believed.
pub(super) fn replay(
    generation: &Path,
    revision: &mut Arc<Revision>,
    believe: impl Fn(&Revision) -> Result<(), Damage>,
) -> Result<End, Damage> {
    let file = files::open(generation, LOG)?;
    let mut frames = Frames::new(BufReader::new(file));
    let first = frames.next()?.ok_or(Damage::Frame { at: 0 })?;
    if rmp_serde::from_slice(&first).ok() != Some(revision.id) {
        return Err(Damage::OtherBase(revision.id));
    }
    let mut end = frames.end(0);
    while let Some(body) = frames.next()? {
        let at = end.bytes;
        let step: Delta = rmp_serde::from_slice(&body).map_err(|_| Damage::Frame { at })?;
        let next = step.apply(revision).map_err(|source| Damage::Step { at, source })?;
        believe(&next)?;
        *revision = Arc::new(next);
        end = frames.end(end.frames + 1);
    }
    Ok(End { path: generation.join(LOG), ..end })
}

/// Between which revisions a log leads.
pub(super) struct Span {
    pub(super) from: RevisionId,
    pub(super) to: RevisionId,
    /// What is wrong with it after that.
    pub(super) damage: Option<Damage>,
}

/// Where a generation's log starts and how far its frames are whole. Whether the steps in them can be
/// taken is not looked at.
pub(super) fn span(generation: &Path) -> Result<Span, Damage> {
    let file = files::open(generation, LOG)?;
    let mut frames = Frames::new(BufReader::new(file));
    let first = frames.next()?.ok_or(Damage::Frame { at: 0 })?;
    let from = rmp_serde::from_slice(&first).map_err(|_| Damage::Frame { at: 0 })?;
    let (mut last, mut damage) = (None, None);
    loop {
        match frames.next() {
            Ok(Some(body)) => last = Some(body),
            Ok(None) => break,
            Err(found) => {
                damage = Some(found);
                break;
            }
        }
    }
    let last = last.and_then(|body| rmp_serde::from_slice(&body).ok());
    Ok(Span { from, to: last.map_or(from, |step: Delta| step.id), damage })
}

/// The bodies of a log's frames.
struct Frames<R> {
    input: R,
    previous: Hash,
    /// What was good ends here.
    at: u64,
}

impl<R: Read> Frames<R> {
    fn new(input: R) -> Self {
        Self { input, previous: START, at: 0 }
    }

    fn end(&self, frames: u64) -> End {
        End { path: PathBuf::new(), bytes: self.at, frames, previous: self.previous }
    }

    /// The next body; none at the end, or where the last frame stops short.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Damage> {
        let head = self.take(HEAD)?;
        let Some((length, checked)) = head.split_first_chunk::<4>() else { return Ok(None) };
        if head.len() < HEAD {
            return Ok(None);
        }
        if *checked != check(&self.previous, length) {
            // Some filesystems fill with zeros what a power cut kept them from writing.
            let blank = head.iter().all(|byte| *byte == 0) && self.is_blank()?;
            return if blank { Ok(None) } else { Err(Damage::Frame { at: self.at }) };
        }
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_STEP_BYTES {
            return Err(Damage::Frame { at: self.at });
        }
        let mut body = self.take(length + TAG)?;
        if body.len() < length + TAG {
            return Ok(None);
        }
        let end = body.split_off(length);
        let expected = tag(b"frame", &[self.previous.as_bytes(), &body]);
        if expected != end[..] {
            return Err(Damage::Frame { at: self.at });
        }
        self.previous = expected;
        self.at += (HEAD + length + TAG) as u64;
        Ok(Some(body))
    }

    /// As many bytes, or as many as there are.
    fn take(&mut self, length: usize) -> Result<Vec<u8>, Damage> {
        let mut bytes = Vec::new();
        (&mut self.input)
            .take(length as u64)
            .read_to_end(&mut bytes)
            .map_err(Damage::unreadable(LOG))?;
        Ok(bytes)
    }

    fn is_blank(&mut self) -> Result<bool, Damage> {
        loop {
            let bytes = self.take(4096)?;
            if bytes.is_empty() || bytes.iter().any(|byte| *byte != 0) {
                return Ok(bytes.is_empty());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(bodies: &[&[u8]]) -> Vec<u8> {
        let (mut bytes, mut previous) = (Vec::new(), START);
        for body in bodies {
            let frame = frame(&previous, body);
            previous = Hash::from_bytes(*frame.last_chunk().expect("ends in a tag"));
            bytes.extend(frame);
        }
        bytes
    }

    /// The bodies up to the end or the damage, and where the damage is.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<u64>) {
        let (mut frames, mut bodies) = (Frames::new(bytes), Vec::new());
        loop {
            match frames.next() {
                Ok(Some(body)) => bodies.push(body),
                Ok(None) => return (bodies, None),
                Err(Damage::Frame { at }) => return (bodies, Some(at)),
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn frames_come_back_in_order() {
        assert_eq!(read(&log(&[b"one", b"", b"three"])).0, [&b"one"[..], b"", b"three"]);
        assert_eq!(read(b""), (vec![], None));
    }

    #[test]
    fn a_frame_that_stops_short_is_cut() {
        let whole = log(&[b"one", b"two"]);
        for end in log(&[b"one"]).len()..whole.len() {
            assert_eq!(read(&whole[..end]), (vec![b"one".to_vec()], None), "cut at {end}");
        }
        let unwritten = [log(&[b"one"]), vec![0; 5000]].concat();
        assert_eq!(read(&unwritten), (vec![b"one".to_vec()], None));
    }

    #[test]
    fn every_changed_bit_is_seen() {
        let (good, second) = (log(&[b"one", b"two", b"three"]), log(&[b"one"]).len() as u64);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            let (bodies, damage) = read(&bad);
            assert!(bodies.len() < 3, "byte {at}");
            assert!(damage.is_some_and(|d| d <= at as u64), "byte {at}: {damage:?}");
            assert_eq!(!bodies.is_empty(), at as u64 >= second, "byte {at}");
        }
    }

    #[test]
    fn a_frame_is_good_in_its_place_only() {
        let (a, b) = (log(&[b"a", b"x"]), log(&[b"b", b"x"]));
        let half = log(&[b"a"]).len();
        let spliced = [&a[..half], &b[half..]].concat();
        assert_eq!(read(&spliced), (vec![b"a".to_vec()], Some(half as u64)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes);
        }

        /// Bodies under right tags, but of any content: neither a step nor an id.
        #[test]
        fn no_body_panics(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..4)) {
            let dir = tempfile::tempdir().expect("has a place");
            let base = rmp_serde::to_vec_named(&RevisionId::default()).expect("encodes");
            let mut all: Vec<&[u8]> = vec![&base];
            all.extend(bodies.iter().map(Vec::as_slice));
            std::fs::write(dir.path().join(LOG), log(&all)).expect("writes");
            let mut revision = Revision::empty();
            let replayed = replay(dir.path(), &mut revision, |_| Ok(()));
            prop_assert_eq!(replayed.is_ok(), bodies.is_empty());
            prop_assert_eq!(revision.id, RevisionId::default());
        }
    }
}
