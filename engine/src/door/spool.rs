//! A body kept until all of it has come: the beginning, if it is long, in a file.
//!
//! What is held in memory never exceeds the bound it was given; what is more goes to a file
//! that has no name, so that nothing is left behind however a request, or the process, ends.
//! The worker does not wait for the disk: the file is written and read by the threads its
//! runtime keeps for that, while the worker serves others.

use crate::descriptors::{self, Use};
use bytes::{Buf as _, Bytes, BytesMut};
use std::fs::DirBuilder;
use std::future::Future as _;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::fs::File;
use tokio::io::{
    AsyncRead as _, AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, ReadBuf,
};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Written and read at a time.
pub(super) const PIECE: usize = 64 * 1024;

/// Where bodies are kept until all of them has come.
#[derive(Clone, Debug)]
pub struct Buffering {
    /// How many bytes of one are held in memory.
    pub memory: usize,
    /// Where the rest is kept. Made when it is first needed.
    pub directory: PathBuf,
}

impl Default for Buffering {
    /// nginx's 16 KiB would have most uploads touch the disk; this is what Pingora holds to send
    /// a request again.
    fn default() -> Buffering {
        Buffering { memory: 64 * 1024, directory: std::env::temp_dir() }
    }
}

/// A body was kept, and cannot be read back.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the body that was kept: {0}")]
pub(crate) struct Lost(#[source] io::Error);

impl Lost {
    /// As whoever reads the body is told.
    fn error(source: io::Error) -> io::Error {
        io::Error::other(Lost(source))
    }
}

/// A body, or as much of it as has come.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    /// What came first.
    file: Option<File>,
    /// Bytes of the file not yet read.
    filed: u64,
    /// What came last.
    memory: BytesMut,
}

impl Spool {
    pub(crate) fn push(&mut self, data: &[u8]) {
        self.memory.extend_from_slice(data);
    }

    /// How much is to be read.
    pub(crate) fn len(&self) -> u64 {
        self.filed + self.memory.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves what is in memory to the file if it is more than may be.
    pub(crate) async fn relieve(&mut self, buffering: &Buffering) -> io::Result<()> {
        if self.memory.len() <= buffering.memory {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(create(buffering.directory.clone()).await?),
        };
        // Returns once the bytes are on their way; an error comes with what is written next.
        file.write_all(&self.memory).await?;
        self.filed += self.memory.len() as u64;
        // The file has a copy: a client that pauses now must not hold the room for two.
        self.memory = BytesMut::new();
        Ok(())
    }

    /// Everything has come: it is read from the beginning.
    pub(crate) async fn rewind(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush().await?;
            file.rewind().await?;
        }
        Ok(())
    }

    /// All of it, if it is all in memory.
    pub(crate) fn take_memory(&mut self) -> Option<Bytes> {
        self.file.is_none().then(|| std::mem::take(&mut self.memory).freeze())
    }

    /// The next piece; an empty one only if nothing is left.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let Some(file) = self.file.as_mut().filter(|_| self.filed > 0) else {
            let count = self.memory.len().min(PIECE);
            return Poll::Ready(Ok(self.memory.split_to(count).freeze()));
        };
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = ready!(pin!(file.read_buf(&mut piece)).poll(cx)).map_err(Lost::error)?;
        if read == 0 {
            return Poll::Ready(Err(Lost::error(io::ErrorKind::UnexpectedEof.into())));
        }
        self.filed = self.filed.saturating_sub(read as u64);
        Poll::Ready(Ok(piece.freeze()))
    }

    /// Reads on. Nothing is read only if nothing is left.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(file) = self.file.as_mut().filter(|_| self.filed > 0) {
            let before = out.filled().len();
            ready!(Pin::new(file).poll_read(cx, out)).map_err(Lost::error)?;
            let read = out.filled().len() - before;
            if read == 0 {
                return Poll::Ready(Err(Lost::error(io::ErrorKind::UnexpectedEof.into())));
            }
            self.filed = self.filed.saturating_sub(read as u64);
        } else {
            self.free();
            let count = self.memory.len().min(out.remaining());
            out.put_slice(self.memory.get(..count).unwrap_or_default());
            self.memory.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Lets go of the file. That frees what it took of the disk, which lasts a tenth of a second for
    /// half a gigabyte: not on the worker.
    fn free(&mut self) {
        let Some(file) = self.file.take() else { return };
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(file)));
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.free();
    }
}

/// A file that is gone when it is closed.
async fn create(directory: PathBuf) -> io::Result<File> {
    let created = spawn_blocking(move || match tempfile::tempfile_in(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(&directory)?;
            tempfile::tempfile_in(&directory)
        }
        created => created,
    });
    let file = created.await.map_err(io::Error::other)??;
    if !descriptors::may_keep(&file, Use::Body) {
        return Err(descriptors::exhausted());
    }
    let mut file = File::from_std(file);
    file.set_max_buf_size(PIECE);
    Ok(file)
}

/// Bodies are nobody else's to read.
fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::os::fd::AsRawFd as _;
    use tokio::runtime::Builder;

    async fn read(spool: &mut Spool, step: usize) -> Vec<u8> {
        let (mut all, mut piece) = (Vec::new(), vec![0; step]);
        loop {
            let mut out = ReadBuf::new(&mut piece);
            poll_fn(|cx| spool.poll_read(cx, &mut out)).await.unwrap();
            if out.filled().is_empty() {
                return all;
            }
            all.extend_from_slice(out.filled());
        }
    }

    #[tokio::test]
    async fn it_comes_back_in_order_wherever_it_was_kept() {
        let directory = tempfile::tempdir().unwrap();
        let buffering =
            Buffering { memory: 1000, directory: directory.path().join("made/when/needed") };
        let body: Vec<u8> =
            (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for (len, filed) in
            [(0, false), (1000, false), (1001, true), (150_001, true), (200_000, true)]
        {
            let mut spool = Spool::default();
            for piece in body[..len].chunks(777) {
                spool.push(piece);
                spool.relieve(&buffering).await.unwrap();
                assert!(spool.memory.len() <= 1000);
                assert!(!spool.memory.is_empty() || spool.memory.capacity() == 0);
            }
            spool.rewind().await.unwrap();
            if len == 150_001 {
                let mut pieces = Vec::new();
                while !spool.is_empty() {
                    pieces.extend(poll_fn(|cx| spool.poll_piece(cx)).await.unwrap());
                }
                assert!(pieces == body[..len]);
                continue;
            }
            assert_eq!((spool.len(), spool.file.is_some()), (len as u64, filed), "{len}");
            assert!(read(&mut spool, 70_000).await == body[..len], "{len}");
        }
        let made = std::fs::read_dir(&buffering.directory).unwrap();
        assert_eq!(made.count(), 0, "files with names");
    }

    #[test]
    fn a_file_is_freed_where_waiting_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let buffering = Buffering { memory: 0, directory: directory.path().into() };
            let mut spool = Spool::default();
            spool.push(b"body");
            spool.relieve(&buffering).await.unwrap();
            spool.rewind().await.unwrap();
            let fd = spool.file.as_ref().unwrap().as_raw_fd();
            let is_open = || {
                let file = std::fs::read_link(format!("/proc/self/fd/{fd}"));
                file.is_ok_and(|file| file.starts_with(directory.path()))
            };
            let (go, may_go) = std::sync::mpsc::channel::<()>();
            let busy = spawn_blocking(move || may_go.recv());
            drop(spool);
            assert!(is_open(), "by nobody while there is only a worker to do it");
            drop(go);
            let _gone = busy.await.unwrap();
            spawn_blocking(|| ()).await.unwrap();
            assert!(!is_open());
        });
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_is_an_error() {
        // A device that is always full.
        let full =
            File::from_std(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let buffering = Buffering { memory: 0, directory: "/nowhere".into() };
        let mut spool = Spool::default();
        spool.file = Some(full);
        spool.push(b"body");
        let written = match spool.relieve(&buffering).await {
            Ok(()) => spool.rewind().await,
            failed => failed,
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::StorageFull);

        let buffering = Buffering { memory: 0, directory: "/dev/null/below".into() };
        let mut spool = Spool::default();
        spool.push(b"body");
        assert!(spool.relieve(&buffering).await.is_err());
    }
}
