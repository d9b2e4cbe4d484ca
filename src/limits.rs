//! Every static limit, each with its reason. Sockets, queues, buffers and waits are bounded by these.

use std::time::Duration;

/// Largest payload of one MySQL packet; longer payloads continue in the next packet (protocol constant).
pub const PACKET_PAYLOAD_BYTES_MAX: usize = 0xFF_FFFF;

/// Largest command that a client may send, joined from its packets: MySQL's own upper bound for
/// `max_allowed_packet` is 1 GiB, its default 64 MiB; a command is held whole, so the default rules.
pub const COMMAND_BYTES_MAX: usize = 64 << 20;

/// Largest packet that is accepted before a client has proved who it is: a handshake response with long
/// connection attributes is a few KiB.
pub const HANDSHAKE_PACKET_BYTES_MAX: usize = 64 << 10;

/// Largest packet of a reply that is held back until it is complete (OK, EOF, ERR, column counts): their
/// texts have at most 512 bytes, file names of LOCAL INFILE at most 4 KiB.
pub const REPLY_HELD_BYTES_MAX: usize = 8 << 10;

/// Largest packet of a reply about tables (SHOW, `information_schema`) in which names of databases are replaced: such
/// rows are small, but for the text of long views and routines.
pub const RENAMED_PACKET_BYTES_MAX: usize = 1 << 20;

/// Columns of one result (MySQL allows 4,096 in a table; the protocol's prepare reply counts in 16 bits).
pub const RESULT_COLUMNS_MAX: u64 = 65_535;

/// Wait for a client to finish its handshake (MySQL's `connect_timeout` is 10 s).
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Clients at once that have not logged in: beyond it, newcomers are refused, so that a flood of silent
/// connections cannot take the places of those who have.
pub const CLIENT_LOGINS_MAX: usize = 1_000;

/// Wait for the rest of a command whose first bytes have arrived; a large one over a slow line takes minutes.
pub const CLIENT_READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Wait for a client to take bytes of its reply, unless its session has another `net_write_timeout`.
pub const CLIENT_WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Statement text that the process list keeps for each client.
pub const PROCESS_TEXT_BYTES_MAX: usize = 1_024;

/// Clients at once by default; more are refused with error 1040.
pub const CLIENT_CONNECTIONS_MAX: usize = 20_000;

/// Statements in one multi-statement packet.
pub const STATEMENTS_PER_PACKET_MAX: usize = 1_000;

/// Prepared statements of one session (MySQL's `max_prepared_stmt_count` is 16,382 for a whole server).
pub const PREPARED_STATEMENTS_PER_SESSION_MAX: usize = 16_382;

/// Prepared statements kept on one backend connection; the one used longest ago is closed first.
pub const PREPARED_STATEMENTS_PER_BACKEND_MAX: usize = 256;

/// Parameters of one prepared statement (protocol: a 16-bit count).
pub const STATEMENT_PARAMETERS_MAX: usize = 65_535;

/// Bytes of one transport buffer. 16 KiB holds most statements and keeps row streams at few system calls.
pub const TRANSPORT_BUFFER_BYTES: usize = 16 << 10;

/// Transport buffers that one worker thread keeps for reuse.
pub const TRANSPORT_BUFFERS_KEPT_MAX: usize = 256;

/// Rows of one INSERT that is split over shards: each needs bookkeeping until its place is known.
pub const INSERT_ROWS_MAX: usize = 1_000_000;

/// Queries of one statement that `VEXPLAIN` lists.
pub const LOGGED_QUERIES_MAX: usize = 10_000;

/// Bytes of a reply that the router keeps from the client to look at itself (`SELECT … INTO @x`, cursors).
pub const CAPTURED_REPLY_BYTES_MAX: usize = 64 << 20;

/// Bytes of one cursor's rows that stay in memory; more go to a file.
pub const SPOOL_MEMORY_BYTES: usize = 64 << 10;

/// Bytes of all cursors that stay in memory; beyond them every cursor's go to its file.
pub const SPOOL_MEMORY_BYTES_MAX: u64 = 64 << 20;

/// Cursors whose rows are in files: each keeps a file descriptor.
pub const SPOOL_FILES_MAX: u64 = 1_024;

/// Bytes of rows that a cursor reads from its file at once.
pub const CURSOR_READ_BYTES: usize = 64 << 10;

/// Names of workloads that are counted; more are counted together.
pub const WORKLOADS_MAX: usize = 100;

/// Bytes of such a name.
pub const WORKLOAD_NAME_BYTES_MAX: usize = 64;

/// Tables whose keys and columns the router remembers for some seconds.
pub const TABLE_SHAPES_KEPT_MAX: usize = 10_000;

/// Keys in one statement that changes rows by their keys: servers plan a few hundred quickly.
pub const KEYS_PER_STATEMENT_MAX: usize = 250;

/// Bytes of keys in one such statement, well below any server's `max_allowed_packet`.
pub const KEY_BYTES_PER_STATEMENT_MAX: usize = 256 << 10;

/// Foreign keys lead from row to row at most so often: InnoDB's own limit.
pub const FOREIGN_KEY_LEVELS_MAX: usize = 15;

/// Rows of one statement whose sharding key changes: each moves by itself, with some statements.
pub const MOVED_ROWS_MAX: usize = 100_000;

/// Rows of an INSERT … SELECT that are sent in one statement.
pub const INSERT_BATCH_ROWS: usize = 1_000;

/// Bytes of such rows: their literals may take several times as many, and servers' `max_allowed_packet` is 16 MiB or more.
pub const INSERT_BATCH_BYTES: usize = 1 << 20;

/// Rows of a client's file that are sent to their shards at once.
pub const LOAD_BATCH_ROWS: usize = 5_000;

/// Bytes of such rows.
pub const LOAD_BATCH_BYTES: usize = 1 << 20;

/// User variables (`@x`) of one session.
pub const USER_VARIABLES_PER_SESSION_MAX: usize = 4_096;

/// Lexer results that one worker thread keeps for reuse.
pub const LEXERS_KEPT_MAX: usize = 64;

/// Rows that an operator may hold in memory for one statement (Vitess's `max-memory-rows`).
pub const OPERATOR_ROWS_MAX: usize = 300_000;

/// Bytes that an operator may hold in memory for one statement.
pub const OPERATOR_BYTES_MAX: usize = 256 << 20;

/// Distinct values of a column that restrict the rows which are gathered of a table joined to it; with more of them,
/// reading the whole table is no worse.
pub const GATHER_REDUCER_VALUES_MAX: usize = 20_000;

/// Bytes of all such values of one statement, which the router holds.
pub const GATHER_REDUCER_BYTES_MAX: usize = 4 << 20;

/// Values in one `IN (…)` of a query that gathers rows.
pub const GATHER_REDUCER_BATCH: usize = 5_000;

/// Values in one `IN (…)` of a join over shards: far below what servers refuse to look up by an index.
pub const JOIN_BATCH_VALUES: usize = 10_000;

/// Bytes of the values of such a list, which take twice as many in its text: below the smallest `max_allowed_packet` in use.
pub const JOIN_BATCH_BYTES: usize = 1 << 20;

/// Such lists that one join sends, one after the other; with more values reading the whole table is no worse.
pub const JOIN_BATCHES_MAX: usize = 4;

/// Size that an INSERT into a temporary table has reached when it is sent: below the smallest `max_allowed_packet` in
/// use, and large enough that round trips do not matter.
pub const GATHER_INSERT_BYTES: usize = 256 << 10;

/// Bytes of a result that the router itself reads whole (health checks, sequences, field queries).
pub const CONTROL_RESULT_BYTES_MAX: usize = 4 << 20;

/// Largest single row that an operator decodes; pass-through rows have no such limit.
pub const ROW_BYTES_MAX: usize = 64 << 20;

/// Plans that the plan cache keeps.
pub const PLAN_CACHE_ENTRIES_MAX: usize = 5_000;

/// Longest text whose plan is cached: longer ones are usually bulk loads, used once.
pub const PLAN_CACHE_TEXT_BYTES_MAX: usize = 64 << 10;

/// Connections to one tablet by default (MySQL's own `max_connections` is 151).
pub const POOL_CONNECTIONS_MAX: usize = 120;

/// Statements that wait for a connection to one tablet; more are refused at once.
pub const POOL_WAITERS_MAX: usize = 5_000;

/// Wait for a free connection before error.
pub const POOL_WAIT: Duration = Duration::from_secs(10);

/// An unused connection is closed after this.
pub const POOL_IDLE: Duration = Duration::from_secs(300);

/// A connection is not reused after this age, so that changes of the server's settings are picked up.
pub const POOL_LIFETIME: Duration = Duration::from_secs(3_600);

/// Wait for TCP connect and authentication at a server.
pub const BACKEND_CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Time between health polls of one tablet: with the timeout it keeps a death visible within 2 s.
pub const HEALTH_POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Wait for the answer to a health poll. As long as the two seconds allow: a machine under load stalls too.
pub const HEALTH_POLL_TIMEOUT: Duration = Duration::from_millis(1_200);

/// Wait for a late answer to a health poll before its connection is given up for a new one.
pub const HEALTH_PATIENCE: Duration = Duration::from_secs(5);

/// A server that has been silent for so long loses even the statements that were running before.
pub const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Wait for a `KILL` at a server.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait for a branch to be prepared, and for the decision: as long as a server may be silent ([`SILENCE_MAX`]).
pub const TWOPC_DECIDE_WAIT: Duration = SILENCE_MAX;

/// Wait for a branch to be committed when that is decided: then the client is answered, and recovery does it.
pub const TWOPC_FINISH_WAIT: Duration = Duration::from_secs(5);

/// Servers that one look for transactions in doubt asks at once.
pub const RESOLVER_SERVERS_AT_ONCE: usize = 16;

/// Wait for each server in that.
pub const RESOLVER_WAIT: Duration = Duration::from_secs(5);

/// Notes about ended or given up transactions that wait for the resolver; what is beyond is found by its looks.
pub const RESOLVER_NOTES_MAX: usize = 4_096;

/// Time between looks at the topology, VSchema and users files.
pub const FILE_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Time between looks at a server's counters of DDL: DDL made elsewhere is followed within seconds.
pub const SCHEMA_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// A schema is read at least so often: a DDL is counted when it begins, which may be long before its end.
pub const SCHEMA_REREAD_INTERVAL: Duration = Duration::from_secs(4);

/// Pause after reading a schema, in times of what the reading took: it may take a twentieth of a server's time.
pub const SCHEMA_PAUSE_FACTOR: u32 = 20;

/// Wait for reading all schemas when the router starts.
pub const SCHEMA_FIRST_READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Wait for reading one keyspace's schema; a hundred thousand tables take about as long.
pub const SCHEMA_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Wait for reading some tables after DDL: the client that sent it waits along.
pub const SCHEMA_REFRESH_TIMEOUT: Duration = Duration::from_secs(3);

/// Keyspaces whose schemas are read at once.
pub const SCHEMA_READS_AT_ONCE_MAX: usize = 8;

/// Bytes of one result that describes a keyspace's schema: about 100 for each column, so a million columns fit.
pub const SCHEMA_BYTES_MAX: usize = 128 << 20;

/// Names in a DDL statement that are read one by one after it; with more, the whole keyspace is.
pub const SCHEMA_NAMES_MAX: usize = 256;

/// Entries of consistent lookup vindexes that a transaction notes for removal after its commit, each some hundred bytes;
/// more of them stay in their tables without an owner, which is allowed.
pub const LOOKUP_REMOVALS_MAX: usize = 100_000;

/// Time that a commit takes for removing such entries: its client waits for it.
pub const LOOKUP_REMOVAL_TIME: Duration = Duration::from_secs(2);

/// Grace for running transactions when the router stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Warnings kept by a session (MySQL's `max_error_count` default on MariaDB; 1,024 on MySQL).
pub const WARNINGS_PER_SESSION_MAX: usize = 64;

/// Nesting of parsed SQL, so that hostile text cannot exhaust the stack: a level takes 7 KiB of it, three times
/// as much in builds without optimisation.
pub const SQL_DEPTH_MAX: usize = 64;

/// Stack of a worker thread. SQL nested [`SQL_DEPTH_MAX`] deep takes more than the usual 2 MiB in a build
/// without optimisation; what is not used costs addresses, not memory.
pub const WORKER_STACK_BYTES: usize = 16 << 20;

/// Longest target string of `USE`: keyspace names have at most 64 characters, key ranges a few bytes.
pub const TARGET_BYTES_MAX: usize = 1_024;

/// Largest configuration, topology, VSchema or users file: a VSchema of 10,000 tables takes about 4 MiB.
pub const CONFIG_FILE_BYTES_MAX: usize = 32 << 20;

/// Literals of one statement that are recorded as arguments; a statement with more is not cached.
pub const SQL_ARGS_MAX: usize = 4_096;

/// Literals in all `IN (…)` lists of one statement; lists beyond it are lexed value by value.
pub const SQL_LIST_ITEMS_MAX: usize = 262_144;

/// Depth of a syntax tree: chains of operators nest in a tree without nesting in the text. Copying a tree takes
/// some KiB of stack a level in builds without optimisation, and a thread has 2 MiB.
pub const SQL_TREE_DEPTH_MAX: usize = 200;

/// Tokens of one statement that is parsed; longer ones are bulk inserts, whose rows are located without an AST.
pub const SQL_TOKENS_MAX: usize = 100_000;

/// Open parentheses that the lexer follows (MySQL's own parser stops near 3,000).
pub const SQL_PARENTHESES_MAX: usize = 4_096;

/// Bytes of all long data sent for one prepared statement before its execution.
pub const LONG_DATA_BYTES_MAX: usize = COMMAND_BYTES_MAX;

const _: () = assert!(HANDSHAKE_PACKET_BYTES_MAX < PACKET_PAYLOAD_BYTES_MAX);
const _: () = assert!(TRANSPORT_BUFFER_BYTES >= 4 << 10);
// A held packet and its header always fit into one transport buffer.
const _: () = assert!(REPLY_HELD_BYTES_MAX + 4 <= TRANSPORT_BUFFER_BYTES);
const _: () = assert!(ROW_BYTES_MAX <= OPERATOR_BYTES_MAX);
