//! Datagrams with the address of ours that each came to.
//!
//! A listener of one address has them all from there. One of all addresses is told of each datagram
//! where it came to (`IP_PKTINFO`; for IPv6 RFC 3542 §6), and what answers it is sent from there, since
//! a client takes answers from no other address. Routes are matched by it as well.

use super::socket::now;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, cmsg_space, recvmsg,
    sendmsg, setsockopt, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

/// How a listener's datagrams are received and answered.
#[derive(Debug)]
pub(super) struct Packets {
    /// What the listener is bound to.
    bound: IpAddr,
    /// Room for what the kernel tells, if that must be asked.
    told: Option<Box<[u8]>>,
}

/// A datagram, whose bytes are elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Received {
    pub(super) length: usize,
    pub(super) between: Between,
}

/// The two ends of a datagram. IPv4 on a listener of IPv6 is mapped (RFC 4291 §2.5.5.2).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Between {
    pub(super) client: SocketAddr,
    /// Ours.
    pub(super) local: IpAddr,
}

impl Packets {
    /// Of a listener at this address.
    pub(super) fn of(socket: &UdpSocket, bound: IpAddr) -> io::Result<Packets> {
        let told = bound.is_unspecified().then(|| {
            match bound {
                IpAddr::V4(_) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
                IpAddr::V6(_) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
            let room = cmsg_space::<in6_pktinfo>() + cmsg_space::<in_pktinfo>();
            Ok::<_, io::Error>(vec![0; room].into())
        });
        Ok(Packets { bound, told: told.transpose()? })
    }

    /// The next datagram, if there is one.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<Option<Received>> {
        let Some(room) = &mut self.told else {
            let received = now(|| socket.recv_from(buffer))?;
            let between = |client| Between { client, local: self.bound };
            return Ok(
                received.map(|(length, client)| Received { length, between: between(client) })
            );
        };
        now(|| {
            let mut buffers = [IoSliceMut::new(buffer)];
            let (fd, room) = (socket.as_raw_fd(), Some(&mut **room));
            let message = recvmsg::<SockaddrStorage>(fd, &mut buffers, room, MsgFlags::empty())?;
            let client = message.address.as_ref().and_then(address_of);
            let client = client.ok_or_else(|| io::Error::other("a datagram from nowhere"))?;
            let local = local_of(&message).unwrap_or(self.bound);
            Ok(Received { length: message.bytes, between: Between { client, local } })
        })
    }

    /// Sends one back; nothing if the socket takes none now.
    pub(super) fn send(
        &self,
        socket: &UdpSocket,
        datagram: &[u8],
        between: Between,
    ) -> io::Result<Option<usize>> {
        let Between { client, local } = between;
        // What was sent to many is not answered from their common address.
        if self.told.is_none() || local.is_unspecified() || local.is_multicast() {
            return now(|| socket.send_to(datagram, client));
        }
        match local {
            IpAddr::V4(local) => send_with(
                socket,
                datagram,
                client,
                ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(local.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                }),
            ),
            IpAddr::V6(local) => send_with(
                socket,
                datagram,
                client,
                ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
                    ipi6_addr: in6_addr { s6_addr: local.octets() },
                    ipi6_ifindex: 0,
                }),
            ),
        }
    }
}

fn send_with(
    socket: &UdpSocket,
    datagram: &[u8],
    client: SocketAddr,
    from: ControlMessage<'_>,
) -> io::Result<Option<usize>> {
    let (client, datagram) = (SockaddrStorage::from(client), [IoSlice::new(datagram)]);
    let (fd, flags) = (socket.as_raw_fd(), MsgFlags::empty());
    now(|| Ok(sendmsg(fd, &datagram, &[from], flags, Some(&client))?))
}

/// Where a datagram came to: of one to many, where to answer from. Nothing if the kernel has not said,
/// or has said more than there is room for: the datagram is no worse for it.
fn local_of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    message.cmsgs().ok()?.find_map(|told| match told {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into())
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
        }
        _ => None,
    })
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|address| SocketAddr::from(*address));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};

    /// Of this address, and of the loopback's only.
    fn listener(at: IpAddr) -> io::Result<UdpSocket> {
        let at = SocketAddr::new(at, 0);
        let socket = Socket::new(Domain::for_address(at), Type::DGRAM, None)?;
        socket.bind_device(Some(b"lo"))?;
        socket.bind(&at.into())?;
        Ok(socket.into())
    }

    /// What is received and from where the answer comes, sent to `to` at a listener of `at`.
    fn ask(at: IpAddr, to: &str) -> (Received, SocketAddr) {
        let listener = listener(at).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut packets = Packets::of(&listener, at).unwrap();
        let to: IpAddr = to.parse().unwrap();
        let any: IpAddr = match to {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let client = UdpSocket::bind((any, 0)).unwrap();
        client.send_to(b"hello", (to, port)).unwrap();
        let mut buffer = [0; 9];
        let received = packets.receive(&listener, &mut buffer).unwrap().unwrap();
        assert_eq!(&buffer[..received.length], b"hello");
        assert_eq!(packets.send(&listener, b"answer", received.between).unwrap(), Some(6));
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"answer");
        (received, from)
    }

    #[test]
    #[allow(clippy::print_stderr, reason = "a test that tests nothing says so")]
    fn an_answer_comes_from_where_the_question_went() {
        for (at, to) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.3", "127.0.0.3"),
            ("0.0.0.0", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.7"),
            ("::", "127.0.0.7"),
            ("::", "::1"),
        ] {
            let at: IpAddr = at.parse().unwrap();
            if let Err(error) = listener(at) {
                eprintln!("skipped: no socket of {at}: {error}");
                continue;
            }
            let (received, from) = ask(at, to);
            let local = received.between.local.to_canonical().to_string();
            assert_eq!((local.as_str(), from.ip().to_string().as_str()), (to, to), "{at} {to}");
        }
    }

    #[test]
    fn nothing_there_is_nothing() {
        for at in [Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()] {
            let listener = listener(at).unwrap();
            listener.set_nonblocking(true).unwrap();
            let mut packets = Packets::of(&listener, at).unwrap();
            assert_eq!(packets.receive(&listener, &mut [0; 9]).unwrap(), None, "{at}");
        }
    }
}
