//! A connection on its way from one runtime to another, between two operations.
//!
//! What is underneath goes by itself, since only its runtimes know how; everything else that the door
//! knows of it is in a [`Parcel`], which is free to move between threads.

use super::conn::Conn;
use super::transport::Transport;
use bytes::BytesMut;
use pingora::protocols::SocketDigest;
use std::sync::Arc;

/// A connection that leaves, of whose request nothing has been read but the head.
#[derive(Debug)]
pub struct Moved<T: Transport> {
    conn: Box<Conn<T>>,
    number: u32,
}

/// What the door knows of a connection.
#[derive(Debug)]
pub struct Parcel {
    digest: Arc<SocketDigest>,
    rd: BytesMut,
    eof: bool,
    number: u32,
}

impl<T: Transport> Moved<T> {
    /// `number`: of the request that is under way.
    pub(super) fn new(conn: Box<Conn<T>>, number: u32) -> Moved<T> {
        Moved { conn, number }
    }

    /// What is underneath, and the rest.
    pub fn pack(self) -> (T, Parcel) {
        let Moved { conn, number } = self;
        // Nothing waits to be sent: the answers before are out, and this one has not begun.
        let Conn { io, digest, rd, eof, .. } = *conn;
        (io, Parcel { digest, rd, eof, number })
    }
}

impl Parcel {
    /// Notes what turned out to have been read already, and whether nothing can follow it.
    pub fn add(&mut self, read: &[u8], is_over: bool) {
        self.rd.extend_from_slice(read);
        self.eof |= is_over;
    }

    /// Who the client is, to Pingora.
    pub fn digest(&self) -> &Arc<SocketDigest> {
        &self.digest
    }

    /// The connection, on another runtime, and the number of its request.
    pub(super) fn open<T: Transport>(self, io: T) -> (Box<Conn<T>>, u32) {
        let Parcel { digest, rd, eof, number } = self;
        let mut conn = Box::new(Conn::new(io, digest));
        (conn.rd, conn.eof) = (rd, eof);
        (conn, number)
    }
}
