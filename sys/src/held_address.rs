//! An address of this machine that is held for a program that has yet to start.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};

/// A loopback address whose port the system picked and gives to nobody else while this lives.
///
/// Members must know each other's addresses before any of them has started. A port that was free a moment ago may be
/// somebody else's by then, and so may the port of a member that was killed and starts again. This one is bound but
/// not listened on: who connects meanwhile is refused, and a program that names the address may listen on it, as often
/// as it likes (both sides set `SO_REUSEADDR`, as the standard library's and tokio's listeners do).
#[derive(Debug)]
pub struct HeldAddress {
    address: SocketAddr,
    _socket: OwnedFd,
}

impl HeldAddress {
    /// Holds a free port on 127.0.0.1.
    ///
    /// # Errors
    ///
    /// What the system says if it has no socket or no port left.
    pub fn on_loopback() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self {
            address,
            _socket: socket,
        })
    }

    /// Where a program may listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::HeldAddress;

    #[test]
    fn who_connects_to_a_held_address_is_refused_until_somebody_listens_there() {
        let held = HeldAddress::on_loopback().expect("a free port");
        for _start in 0..2 {
            let refused = TcpStream::connect(held.address()).expect_err("nobody listens");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            let listener = TcpListener::bind(held.address()).expect("it is held for us");
            let _connected = TcpStream::connect(held.address()).expect("somebody listens");
            let _accepted = listener.accept().expect("a connection");
        }
    }

    #[test]
    fn a_held_port_is_given_to_nobody_who_asks_for_any() {
        // More than half of the ports that the system picks from would be needed to prove it; enough to see a port that
        // is given out again at once, as a closed listener's is.
        let held = HeldAddress::on_loopback().expect("a free port");
        let others: Vec<TcpListener> = (0..2000)
            .map_while(|_| TcpListener::bind("127.0.0.1:0").ok())
            .collect();
        assert!(others.len() > 100, "{}", others.len());
        for other in &others {
            assert_ne!(other.local_addr().expect("bound"), held.address());
        }
    }
}
