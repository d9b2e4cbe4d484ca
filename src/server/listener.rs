//! Accepting connections, and refusing those that are too many.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::client_stream::ClientStream;
use super::connection::serve;
use super::handler::Handler;
use super::worker::Workers;
use super::{Options, Shared};
use crate::error::{Error, ErrorKind};
use crate::net::Stream;
use crate::wire::ErrPacket;
use crate::wire::frame::write_packet_with;

/// The sockets that a server listens on.
pub(super) struct Listeners {
    tcp: Option<TcpListener>,
    unix: Option<UnixSocket>,
}

/// A unix socket and its file, which goes with it.
struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A connection just accepted, out of any runtime so that a worker can take it over.
enum Accepted {
    Tcp(std::net::TcpStream, SocketAddr),
    Unix(std::os::unix::net::UnixStream),
}

impl Listeners {
    pub(super) async fn bind(options: &Options) -> io::Result<Self> {
        let tcp = match &options.listen {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| naming(address, &error))?),
            None => None,
        };
        let unix = match &options.socket {
            Some(path) => Some(bind_unix(path).map_err(|error| naming(&path.display().to_string(), &error))?),
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    async fn accept(&self) -> io::Result<Accepted> {
        let tcp = async {
            match &self.tcp {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let unix = async {
            match &self.unix {
                Some(socket) => socket.listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = tcp => {
                let (stream, address) = accepted?;
                Ok(Accepted::Tcp(stream.into_std()?, address))
            }
            accepted = unix => Ok(Accepted::Unix(accepted?.0.into_std()?)),
        }
    }
}

fn naming(address: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

/// A socket file that nobody answers behind is left over from a crash, and replaced.
fn bind_unix(path: &Path) -> io::Result<UnixSocket> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    Ok(UnixSocket { listener: UnixListener::bind(path)?, path: path.to_owned() })
}

/// Pause after an accept that failed for want of something, such as file descriptors.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Accepts until `stop` is ready. The listeners are closed then.
pub(super) async fn accept_until<H: Handler>(
    shared: &Arc<Shared<H>>,
    workers: &Workers,
    listeners: Listeners,
    stop: impl Future<Output = ()>,
) {
    let accepting = async {
        let mut backoff = BACKOFF_MIN;
        loop {
            match listeners.accept().await {
                Ok(accepted) => {
                    backoff = BACKOFF_MIN;
                    admit(shared, workers, accepted);
                }
                // The client was faster gone than accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections just now");
                    tokio::time::sleep(backoff).await;
                    backoff = (2 * backoff).min(BACKOFF_MAX);
                }
            }
        }
    };
    tokio::select! {
        () = stop => {}
        () = accepting => {}
    }
}

fn admit<H: Handler>(shared: &Arc<Shared<H>>, workers: &Workers, accepted: Accepted) {
    let (Some(place), Some(login_place)) = (shared.connections.take(), shared.logins.take()) else {
        shared.counters.refused.increment(1);
        return refuse(accepted);
    };
    shared.counters.accepted.increment(1);
    let host = match &accepted {
        Accepted::Tcp(_, address) => address.ip().to_canonical().to_string(),
        Accepted::Unix(_) => "localhost".to_owned(),
    };
    let registration = shared.registry.add(host.into());
    let guard = workers.enter_least_loaded();
    let counters = shared.counters.worker(guard.worker().index()).clone();
    let handle = guard.worker().handle().clone();
    let shared = shared.clone();
    handle.spawn(async move {
        match accepted.into_stream() {
            Ok(stream) => {
                let entry = registration.entry().clone();
                let stream = ClientStream::new(stream, entry, counters.clone());
                serve(&shared, stream, counters, login_place).await;
            }
            Err(error) => tracing::warn!(%error, "lost a connection between threads"),
        }
        drop((registration, guard, place));
    });
}

impl Accepted {
    /// Into this thread's runtime.
    fn into_stream(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream, _) => Stream::tcp(TcpStream::from_std(stream)?),
            Self::Unix(stream) => Ok(Stream::unix(UnixStream::from_std(stream)?)),
        }
    }
}

/// Tells error 1040 instead of greeting. The socket is fresh and does not block, so a few bytes always fit; whoever
/// does not take them has lost nothing.
fn refuse(accepted: Accepted) {
    use std::io::Write as _;
    let error = Error::new(ErrorKind::TooManyConnections, "Too many connections");
    let mut packet = Vec::new();
    write_packet_with(&mut packet, &mut 0, |out| ErrPacket::from_error(&error).encode(out));
    let _ = match accepted {
        Accepted::Tcp(mut stream, _) => stream.write(&packet),
        Accepted::Unix(mut stream) => stream.write(&packet),
    };
}
