//! So many connections of each address, and of all: a socket is counted for as long as it is open, whatever it has become.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Connections of one address at the same time.
const OF_ONE: usize = 200;
/// Of all addresses, if as many files may be open.
const OF_ALL: usize = 4_000;
/// Files for everything else: databases, the chain's node, Redis.
const OTHER_FILES: usize = 256;

/// How many are open.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    open: Mutex<Open>,
    of_all: usize,
    of_one: usize,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One of an address's places. Given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    address: Option<IpAddr>,
}

impl Connections {
    /// As many as this process may have files for, after having asked for as many as it can have.
    pub(super) fn new() -> Self {
        let files = usize::try_from(open_files()).unwrap_or(usize::MAX);
        Self::bounded(OF_ALL.min(files.saturating_sub(OTHER_FILES).max(files / 2)), OF_ONE)
    }

    fn bounded(of_all: usize, of_one: usize) -> Self {
        Self(Arc::new(Inner { open: Mutex::default(), of_all, of_one }))
    }

    pub(super) fn most(&self) -> usize {
        self.0.of_all
    }

    /// A place among all, if there is one.
    pub(super) fn among_all(&self) -> Option<Place> {
        let mut open = self.lock();
        (open.all < self.0.of_all).then(|| {
            open.all += 1;
            Place { connections: self.clone(), address: None }
        })
    }

    /// A place among those of this address, if there is one.
    pub(super) fn of(&self, address: IpAddr) -> Option<Place> {
        let mut open = self.lock();
        let count = open.by_address.entry(address).or_default();
        (*count < self.0.of_one).then(|| {
            *count += 1;
            Place { connections: self.clone(), address: Some(address) }
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        // Counts are changed by single statements.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        let Some(address) = self.address else {
            open.all = open.all.saturating_sub(1);
            return;
        };
        if let Some(count) = open.by_address.get_mut(&address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

/// Files that may be open, which is made as many as the system allows us.
fn open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        return maximum.unwrap_or(u64::MAX);
    }
    current.unwrap_or(u64::MAX)
}

/// Places of one connection: one of all, and one of each address that it is counted for.
pub(super) type Places = Arc<Mutex<Vec<Place>>>;

/// A socket with its places: they are free again when it is closed, also after it has become a WebSocket.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) stream: TcpStream,
    pub(super) _places: Places,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_no_more_than_its_own_and_gives_back_what_it_had() {
        let connections = Connections::bounded(5, 3);
        let [one, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let mut held: Vec<_> = (0..9).map_while(|_| connections.of(one)).collect();
        assert_eq!(held.len(), 3);
        assert!(connections.of(other).is_some());
        held.pop();
        assert!(connections.of(one).is_some());
        drop(held);
        assert!(connections.lock().by_address.is_empty(), "nothing is kept of whom has none");
        let mut all: Vec<_> = (0..9).map_while(|_| connections.among_all()).collect();
        assert_eq!(all.len(), 5);
        all.pop();
        all.extend((0..9).map_while(|_| connections.among_all()));
        assert_eq!(all.len(), 5, "one has gone, so one more is taken");
        drop(all);
        assert_eq!(connections.lock().all, 0);
    }
}
