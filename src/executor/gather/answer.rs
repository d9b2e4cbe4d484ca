//! The host's answer to the delegated query on its way to the client. Rows pass as they are; columns of temporary
//! tables get the names of the tables that they stand for.

use super::super::Executor;
use super::super::arguments::Placeholders;
use super::super::exchange::settle;
use super::super::job::Job;
use super::super::scatter::client_lost;
use super::table::GatheredTable;
use crate::backend::pool::PooledConnection;
use crate::backend::{BackendConnection, RowStream};
use crate::error::{Error, ErrorKind, Result};
use crate::server::ResultEnd;
use crate::wire::frame::write_packet_with;
use crate::wire::statement::{LongData, Parameters};
use crate::wire::{ColumnDefinition, Command, ReplySummary};

impl Executor {
    /// Sends the query to the host and its rows to the client.
    pub(super) async fn answer(
        &self,
        job: &mut Job<'_>,
        text: &[u8],
        placeholders: Placeholders,
        describe: &(dyn Fn(&mut [ColumnDefinition]) + Sync),
        host: &mut PooledConnection,
    ) -> Result<ReplySummary> {
        host.sync_settings(job.session.statement_settings());
        if super::super::variables::are_named(job) {
            host.queue(&Command::Query(&super::super::variables::assignment(job)));
        }
        settle(host).await?;
        match job.execution {
            None => host.queue(&Command::Query(text)),
            Some(execution) => {
                let prepared = host.prepare(text).await?;
                let (none, no_data) = (Parameters::default(), LongData::default());
                let (parameters, long_data) = match placeholders {
                    Placeholders::Keep => (execution.parameters, execution.long_data),
                    Placeholders::Inline => (none, &no_data),
                };
                let mut packet = Vec::with_capacity(64);
                let mut malformed = None;
                write_packet_with(&mut packet, &mut 0, |out| {
                    malformed = parameters.encode_execute(out, prepared.statement_id, long_data).err();
                });
                if let Some(malformed) = malformed {
                    return Err(Error::new(ErrorKind::MalformedPacket, malformed.to_string()));
                }
                host.queue_packets(&packet, 1);
            }
        }
        let preludes = host.owed_count() - 1;
        host.flush().await?;
        for _ in 0..preludes {
            host.receive_ok().await?;
        }
        forward(job, describe, host).await
    }
}

async fn forward(
    job: &mut Job<'_>,
    describe: &(dyn Fn(&mut [ColumnDefinition]) + Sync),
    host: &mut BackendConnection,
) -> Result<ReplySummary> {
    let (status, is_binary) = (job.status(), job.execution.is_some());
    let mut stream = RowStream::open(host, is_binary).await?;
    let mut columns = stream.columns().to_vec();
    describe(&mut columns);
    job.client.begin_result(&columns, status).await.map_err(client_lost)?;
    while let Some(row) = stream.next_row().await? {
        job.client.row(|out| out.extend_from_slice(row)).await.map_err(client_lost)?;
    }
    let summary = stream.summary().clone();
    // A note of the router's own counts as the server's warnings do.
    let notes = u16::from(job.session.settings.gather_notes);
    job.client.end_result(ResultEnd { status, warnings: summary.warnings.saturating_add(notes) });
    Ok(summary)
}

/// Gives a column the names of the table that its temporary table stands for.
pub(super) fn rename(column: &mut ColumnDefinition, tables: &[GatheredTable]) {
    let of =
        tables.iter().filter(|table| !table.stays).find(|table| table.name.as_bytes() == column.org_table);
    if let Some(table) = of {
        column.org_table = table.original.as_bytes().to_vec();
        if !column.schema.is_empty() {
            column.schema = table.database.clone().into_bytes();
        }
    }
}
