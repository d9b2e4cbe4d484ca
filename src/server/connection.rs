//! One client's connection from login to goodbye: the command loop, and what it answers itself.
//!
//! The task is the boundary of panics: one ends its session, is told to the client if possible, and touches no
//! other session.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::Shared;
use super::client_stream::{ClientStream, ResultEnd};
use super::counters::{CommandClass, WorkerCounters};
use super::handler::{Flow, Handler};
use super::handshake::First;
use super::registry::BoundedGuard;
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Packet, PacketError};
use crate::wire::connect::ChangeUser;
use crate::wire::{Command, OkPacket, StatusFlags};
use crate::{clock, limits};

/// One client that has logged in.
struct Connection<'s, H: Handler> {
    shared: &'s Shared<H>,
    stream: ClientStream,
    session: H::Session,
    counters: Arc<WorkerCounters>,
}

/// Serves one client until it leaves, is killed, or the server stops. `login_place` is given back when the client
/// has logged in.
pub(super) async fn serve<H: Handler>(
    shared: &Shared<H>,
    stream: ClientStream,
    counters: Arc<WorkerCounters>,
    login_place: BoundedGuard,
) {
    // Boxed: the login's state is large, and gone when the session idles.
    let login = Box::pin(timeout(shared.login_timeout(), log_in(shared, stream))).await;
    let (stream, session) = match login {
        Ok(Some(logged_in)) => logged_in,
        Ok(None) => return,
        Err(_) => {
            shared.counters.handshake_failures.increment(1);
            return tracing::debug!("a login took too long");
        }
    };
    drop(login_place);
    Connection { shared, stream, session, counters }.run().await;
}

/// `None` when the client is gone, or was told why not.
async fn log_in<H: Handler>(
    shared: &Shared<H>,
    mut stream: ClientStream,
) -> Option<(ClientStream, H::Session)> {
    let outcome = match shared.handshake.greet(&mut stream).await {
        Ok(None) => return None,
        Ok(Some(First::Response(packet))) => open(shared, &mut stream, &packet).await,
        Ok(Some(First::Tls(config))) => {
            stream = match stream.into_tls(config).await {
                Ok(stream) => stream,
                Err(error) => {
                    shared.counters.handshake_failures.increment(1);
                    tracing::info!(%error, "TLS with a client failed");
                    return None;
                }
            };
            match stream.exchange(limits::HANDSHAKE_PACKET_BYTES_MAX).await {
                Ok(None) => return None,
                Ok(Some(packet)) => open(shared, &mut stream, &packet).await,
                Err(error) => Err(error.into_client_error()),
            }
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(session) => Some((stream, session)),
        Err(error) => {
            shared.counters.login_failed(&error);
            tracing::info!(host = stream.entry().host(), %error, "login failed");
            say_goodbye(&mut stream, &error).await;
            None
        }
    }
}

/// From the handshake response to the OK that ends a login, which is buffered.
async fn open<H: Handler>(
    shared: &Shared<H>,
    stream: &mut ClientStream,
    response: &[u8],
) -> Result<H::Session> {
    let info = shared.handshake.log_in(stream, response).await?;
    let session = match AssertUnwindSafe(shared.handler.open(&info)).catch_unwind().await {
        Ok(session) => session?,
        Err(_) => return Err(session_panicked(shared)),
    };
    let status = shared.handler.status(&session);
    stream.entry().end(false, Instant::now());
    stream.ok(&OkPacket { status, ..OkPacket::default() });
    tracing::debug!(user = %info.user, host = info.entry.host(), "logged in");
    Ok(session)
}

/// Why a connection ends.
enum End {
    /// The client is gone or has said goodbye.
    Quiet,
    /// The session panicked: its state cannot be trusted any more.
    Panicked,
    /// The client is to be told.
    Tell(Error),
}

impl From<PacketError> for End {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Io(_) | PacketError::Truncated => Self::Quiet,
            PacketError::OutOfOrder { .. } | PacketError::TooLarge { .. } => {
                Self::Tell(error.into_client_error())
            }
        }
    }
}

impl<H: Handler> Connection<'_, H> {
    async fn run(mut self) {
        let end = match self.stream.flush().await {
            Ok(()) => self.serve_commands().await,
            Err(_) => End::Quiet,
        };
        Box::pin(self.end(end)).await;
    }

    async fn serve_commands(&mut self) -> End {
        loop {
            let bytes_max = self.shared.options.command_bytes_max;
            let next = match self.shared.handler.patience(&self.session) {
                None => self.stream.next_command(bytes_max).await,
                Some(until) => Box::pin(self.next_command_until(until, bytes_max)).await,
            };
            let flow = match next {
                Ok(Some(packet)) => self.command(packet).await,
                Ok(None) => ControlFlow::Break(self.why_there_is_none()),
                Err(error) => ControlFlow::Break(End::from(error)),
            };
            if let ControlFlow::Break(end) = flow {
                return end;
            }
        }
    }

    /// The next command, before which the session's patience may end.
    async fn next_command_until(
        &mut self,
        until: Instant,
        bytes_max: usize,
    ) -> Result<Option<Packet>, PacketError> {
        let Self { shared, stream, session, .. } = self;
        let entry = stream.entry().clone();
        let mut next = pin!(stream.next_command(bytes_max));
        if let Ok(command) = timeout_at(until, next.as_mut()).await {
            return command;
        }
        clock::refresh();
        let lose_patience = AssertUnwindSafe(shared.handler.lose_patience(session)).catch_unwind();
        if lose_patience.await.is_err() {
            session_panicked(shared);
            return Ok(None);
        }
        entry.end(shared.handler.status(session).contains(StatusFlags::IN_TRANSACTION), clock::refresh());
        next.await
    }

    /// Why no command comes any more.
    fn why_there_is_none(&self) -> End {
        // MariaDB closes an idle connection without a word.
        if !self.stream.entry().has_idled_out() || self.shared.options.version.contains("MariaDB") {
            return End::Quiet;
        }
        End::Tell(Error::new(
            ErrorKind::ClientIdle,
            "The client was disconnected by the server because of inactivity. See wait_timeout and \
             interactive_timeout for configuring this behavior.",
        ))
    }

    /// Answers one command.
    async fn command(&mut self, packet: Packet) -> ControlFlow<End> {
        let started = clock::recent();
        self.counters.received(packet.len());
        let command = match Command::decode(&packet, self.stream.capabilities()) {
            Ok(command) => command,
            Err(malformed) => return ControlFlow::Break(End::Tell(malformed.into_client_error())),
        };
        let byte = packet.first().copied().unwrap_or_default();
        self.stream.entry().begin(byte, statement_text(&command), started);
        let class = class_of(&command);
        let flow = self.dispatch(command).await;
        drop(packet);
        if self.stream.flush().await.is_err() {
            return ControlFlow::Break(End::Quiet);
        }
        flow?;
        let now = clock::refresh();
        self.counters.command(class, now.saturating_duration_since(started));
        let is_in_transaction = self.status().contains(StatusFlags::IN_TRANSACTION);
        self.stream.entry().end(is_in_transaction, now);
        // A stopping server lets transactions go on for a while; everybody else has had the last answer.
        if self.shared.is_draining() && !is_in_transaction {
            return ControlFlow::Break(End::Quiet);
        }
        ControlFlow::Continue(())
    }

    async fn dispatch(&mut self, command: Command<'_>) -> ControlFlow<End> {
        if self.shared.is_draining() && !self.status().contains(StatusFlags::IN_TRANSACTION) {
            let error = Error::new(ErrorKind::ServerShutdown, "Server shutdown in progress");
            return ControlFlow::Break(End::Tell(error));
        }
        match command {
            Command::Query(_)
            | Command::InitDb(_)
            | Command::FieldList { .. }
            | Command::StmtPrepare(_)
            | Command::StmtExecute(_)
            | Command::StmtSendLongData { .. }
            | Command::StmtClose(_)
            | Command::StmtReset(_)
            | Command::StmtFetch { .. } => return self.handle(command).await,
            Command::Ping => self.ok(),
            Command::Quit => return ControlFlow::Break(End::Quiet),
            Command::Statistics => {
                let text = self.shared.statistics();
                self.stream.packet(|out| out.extend_from_slice(text.as_bytes()));
            }
            Command::SetOption(option) => self.set_option(option),
            Command::ResetConnection => return Box::pin(self.reset()).await,
            Command::ChangeUser(change) => return Box::pin(self.change_user(change)).await,
            Command::Unknown(_) => self.stream.error(&unknown_command()),
        }
        ControlFlow::Continue(())
    }

    async fn handle(&mut self, command: Command<'_>) -> ControlFlow<End> {
        let has_reply = command.has_reply();
        let Self { shared, stream, session, .. } = self;
        let run = AssertUnwindSafe(shared.handler.command(session, command, stream)).catch_unwind();
        match run.await {
            Ok(Ok(Flow::Continue)) => {}
            Ok(Ok(Flow::Close)) => return ControlFlow::Break(End::Quiet),
            Ok(Err(error)) if has_reply => stream.error(&error),
            // A client that expects no reply would take this one for the next command's.
            Ok(Err(error)) => tracing::debug!(%error, "a command without reply failed"),
            Err(_) => return ControlFlow::Break(End::Panicked),
        }
        ControlFlow::Continue(())
    }

    fn set_option(&mut self, option: u16) {
        if option > 1 {
            return self.stream.error(&unknown_command());
        }
        self.stream.set_multi_statements(option == 0);
        let status = self.status();
        self.stream.end_result(ResultEnd { status, warnings: 0 });
    }

    async fn reset(&mut self) -> ControlFlow<End> {
        let Self { shared, session, .. } = self;
        match AssertUnwindSafe(shared.handler.reset(session, None)).catch_unwind().await {
            Ok(Ok(())) => self.ok(),
            Ok(Err(error)) => self.stream.error(&error),
            Err(_) => return ControlFlow::Break(End::Panicked),
        }
        ControlFlow::Continue(())
    }

    /// Any failure closes the connection, as in MySQL.
    async fn change_user(&mut self, change: ChangeUser<'_>) -> ControlFlow<End> {
        let Self { shared, stream, session, .. } = self;
        let log_in = timeout(limits::HANDSHAKE_TIMEOUT, shared.handshake.change_user(stream, &change));
        let info = match log_in.await {
            Ok(Ok(info)) => info,
            Ok(Err(error)) => {
                shared.counters.login_failed(&error);
                return ControlFlow::Break(End::Tell(error));
            }
            Err(_) => return ControlFlow::Break(End::Quiet),
        };
        match AssertUnwindSafe(shared.handler.reset(session, Some(&info))).catch_unwind().await {
            Ok(Ok(())) => self.ok(),
            Ok(Err(error)) => return ControlFlow::Break(End::Tell(error)),
            Err(_) => return ControlFlow::Break(End::Panicked),
        }
        ControlFlow::Continue(())
    }

    fn ok(&mut self) {
        let status = self.status();
        self.stream.ok(&OkPacket { status, ..OkPacket::default() });
    }

    fn status(&self) -> StatusFlags {
        self.shared.handler.status(&self.session)
    }

    async fn end(self, end: End) {
        let Self { shared, mut stream, session, .. } = self;
        match end {
            End::Quiet => {}
            End::Panicked => {
                say_goodbye(&mut stream, &session_panicked(shared)).await;
                // Dropped, not closed: what it holds must not be used again.
                return;
            }
            End::Tell(error) => say_goodbye(&mut stream, &error).await,
        }
        // The socket first: a client need not wait for a rollback.
        drop(stream);
        if AssertUnwindSafe(shared.handler.close(session)).catch_unwind().await.is_err() {
            session_panicked(shared);
        }
    }
}

/// Sends a last ERR packet, as far as the client takes it.
async fn say_goodbye(stream: &mut ClientStream, error: &Error) {
    stream.error(error);
    if stream.flush().await.is_ok() {
        stream.linger().await;
    }
}

fn session_panicked<H: Handler>(shared: &Shared<H>) -> Error {
    shared.counters.panics.increment(1);
    tracing::error!("a session panicked and was ended");
    Error::bug("the session failed and was ended")
}

fn unknown_command() -> Error {
    Error::new(ErrorKind::UnknownCommand, "Unknown command")
}

/// What the process list shows of a command.
fn statement_text<'a>(command: &Command<'a>) -> &'a [u8] {
    match command {
        Command::Query(text) | Command::StmtPrepare(text) | Command::InitDb(text) => text,
        _ => &[],
    }
}

fn class_of(command: &Command<'_>) -> CommandClass {
    match command {
        Command::Query(_) => CommandClass::Query,
        Command::StmtPrepare(_) => CommandClass::Prepare,
        Command::StmtExecute(_) => CommandClass::Execute,
        _ => CommandClass::Other,
    }
}
