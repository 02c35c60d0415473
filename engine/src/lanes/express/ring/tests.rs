//! Against sockets of this machine, on the kernel that is here.

use super::*;
use crate::door::Alarm;
use crate::worker::ring::Driver;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::fcntl_getfd;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream as Peer};
use std::thread;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Runs `test` on every kind of ring that there is here; on none, and says so, if there is none.
#[allow(clippy::print_stderr, reason = "a test that tests nothing says so")]
fn on_rings<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let drivers = match ring::probe().driver {
        Driver::Deferred => &[Driver::Deferred, Driver::Ring][..],
        Driver::Ring => &[Driver::Ring],
        Driver::Epoll => return eprintln!("no io_uring here: nothing is tested"),
    };
    for driver in drivers {
        ring::run(*driver, |_| test()).unwrap();
    }
}

/// Both ends of a connection: one on the ring, the other its peer. Children would inherit the former.
fn connected() -> (RingStream, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    fcntl_setfd(&near, FdFlags::empty()).unwrap();
    (RingStream::from_std(near).unwrap(), peer)
}

#[test]
fn what_goes_in_comes_out_however_long() {
    on_rings(|| async {
        let (mut stream, mut peer) = connected();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let expected = sent.clone();
        let echo = thread::spawn(move || {
            let mut got = vec![0; expected.len()];
            peer.read_exact(&mut got).unwrap();
            assert!(got == expected);
            peer.write_all(&got).unwrap();
        });
        stream.write_all(&sent).await.unwrap();
        stream.flush().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert!(back == sent);
        echo.join().unwrap();
    });
}

#[test]
fn a_connection_is_made_and_its_end_is_seen() {
    on_rings(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = Ring.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = String::new();
        far.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        drop(far);
        assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(stream.into_std().await.is_err(), "it was not made to leave");
        let free = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
        let refused = Ring.connect(free).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn only_so_much_is_taken_of_who_does_not_read() {
    on_rings(|| async {
        let (mut stream, peer) = connected();
        let piece = [0; 10_000];
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = 0;
        // Until the system takes nothing more either.
        for _ in 0..1000 {
            while let Poll::Ready(count) = Pin::new(&mut stream).poll_write(&mut cx, &piece) {
                taken += count.unwrap();
                assert!(stream.unsent() <= MOST_UNSENT);
            }
            ring::step_aside().await;
            if stream.unsent() < MOST_UNSENT {
                continue;
            }
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(stream.unsent(), MOST_UNSENT);
        let reader = thread::spawn(move || io::copy(&mut &peer, &mut io::sink()).unwrap());
        stream.shutdown().await.unwrap();
        assert_eq!(stream.unsent(), 0);
        assert_eq!(reader.join().unwrap(), taken as u64);
    });
}

#[test]
fn an_error_comes_with_the_next_call() {
    on_rings(|| async {
        let (mut stream, peer) = connected();
        // Closed with something unread, it resets.
        stream.write_all(b"unread").await.unwrap();
        stream.flush().await.unwrap();
        drop(peer);
        let failed = loop {
            match stream.write_all(b"to nobody").await {
                Ok(()) => monoio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        let gone = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(gone.contains(&failed.kind()), "{failed}");
        assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
    });
}

#[test]
fn it_leaves_as_other_runtimes_want_it() {
    on_rings(|| async {
        for is_reading in [false, true] {
            let (mut stream, mut peer) = connected();
            if is_reading {
                stream.rest();
                ring::step_aside().await;
            }
            let Released { mut socket, read, is_over } = stream.into_std().await.unwrap();
            assert!(read.is_empty() && !is_over);
            assert!(fcntl_getfl(&socket).unwrap().contains(OFlags::NONBLOCK));
            assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
            // Nothing of the ring's takes what comes now.
            peer.write_all(b"later").unwrap();
            socket.set_nonblocking(false).unwrap();
            let mut heard = [0; 5];
            socket.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"later");
        }
    });
}

#[test]
fn nothing_is_lost_when_a_read_is_called_off() {
    on_rings(|| async {
        for round in 0..300_u64 {
            let (mut stream, mut peer) = connected();
            stream.rest();
            ring::step_aside().await;
            let sender = thread::spawn(move || {
                // At another moment each time: the two race.
                (0..round % 50 * 200).for_each(|_| std::hint::spin_loop());
                peer.write_all(b"here").unwrap();
                peer
            });
            if round % 3 == 0 {
                monoio::time::sleep(Duration::from_millis(1)).await;
            }
            let Released { mut socket, read, is_over } = stream.into_std().await.unwrap();
            assert!(!is_over);
            drop(sender.join().unwrap());
            socket.set_nonblocking(false).unwrap();
            let mut heard = read.to_vec();
            socket.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, b"here", "round {round}");
        }
    });
}

#[test]
fn an_end_that_was_read_leaves_with_it() {
    on_rings(|| async {
        let (mut stream, mut peer) = connected();
        peer.write_all(b"last words").unwrap();
        drop(peer);
        stream.rest();
        monoio::time::sleep(Duration::from_millis(5)).await;
        let released = stream.into_std().await.unwrap();
        assert_eq!(released.read, &b"last words"[..]);

        let (mut stream, peer) = connected();
        drop(peer);
        stream.rest();
        monoio::time::sleep(Duration::from_millis(5)).await;
        assert!(stream.into_std().await.unwrap().is_over);
    });
}

#[test]
fn dropped_it_closes_whatever_is_under_way() {
    on_rings(|| async {
        let (mut stream, mut peer) = connected();
        stream.rest();
        ring::step_aside().await;
        drop(stream);
        let sees = thread::spawn(move || peer.read(&mut [0; 8]).unwrap());
        while !sees.is_finished() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(sees.join().unwrap(), 0);
    });
}

#[test]
fn what_was_taken_is_sent_though_nobody_holds_the_connection() {
    on_rings(|| async {
        lingers(true).await;
        let (mut stream, mut peer) = connected();
        stream.write_all(&[b'x'; 50_000]).await.unwrap();
        drop(stream);
        let hears = thread::spawn(move || io::copy(&mut peer, &mut io::sink()).unwrap());
        while !hears.is_finished() {
            monoio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(hears.join().unwrap(), 50_000);
        lingers(false).await;
        assert_eq!(AFTER.with(|(_, left)| left.get()), 0);
    });
}

#[test]
fn its_timer_goes_off_at_the_deadline_whichever_way_it_moved() {
    on_rings(|| async {
        let (mut alarm, start) = (Alarm::<Sleep>::default(), Instant::now());
        let after = |millis| start + Duration::from_millis(millis);
        let pending = poll_fn(|cx| Poll::Ready(alarm.poll(after(10_000), cx).is_pending())).await;
        assert!(pending);
        for (deadline, expected) in [(20, 20), (10, 20), (40, 40), (45, 45)] {
            poll_fn(|cx| alarm.poll(after(deadline), cx)).await;
            assert!(start.elapsed() >= Duration::from_millis(expected), "{deadline}");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}
