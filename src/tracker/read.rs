//! The questions to a server. MySQL manual: "INFORMATION_SCHEMA Tables", "Server Status Variables"; MariaDB has the
//! same columns.

use super::decode;
use crate::backend::pool::PooledConnection;
use crate::backend::{ControlResult, RowStream};
use crate::error::{Error, ErrorKind, Result};
use crate::limits;
use crate::schema::{ForeignKeysOfTables, Relation};
use crate::vschema::TableName;
use crate::wire::Malformed;
use crate::wire::row::text_fields;

/// How often the server has begun to run DDL, of the kinds that change columns, as text to be compared.
pub(super) async fn ddl_counters(connection: &mut PooledConnection) -> Result<Vec<u8>> {
    let result = connection
        .query_all(
            "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_alter_table', 'Com_create_index', 'Com_create_table', \
             'Com_create_view', 'Com_drop_db', 'Com_drop_index', 'Com_drop_table', 'Com_drop_view', \
             'Com_rename_table')",
        )
        .await?;
    let mut text = Vec::new();
    for cell in result.rows.into_iter().flatten().flatten() {
        text.extend_from_slice(&cell);
        text.push(b' ');
    }
    Ok(text)
}

/// The tables and views of a database; with `names` only those.
pub(super) async fn relations(
    connection: &mut PooledConnection,
    db_name: &str,
    names: Option<&[TableName]>,
) -> Result<Vec<Relation>> {
    let scope = scope(db_name, names);
    let columns = format!(
        "SELECT table_name, column_name, data_type, column_type, character_set_name, collation_name, is_nullable, \
         column_default, extra, character_maximum_length, numeric_precision, numeric_scale, datetime_precision \
         FROM information_schema.columns WHERE {scope} ORDER BY table_name, ordinal_position"
    );
    let keys = format!(
        "SELECT table_name, index_name, non_unique, column_name, sub_part FROM information_schema.statistics \
         WHERE {scope} ORDER BY table_name, index_name, seq_in_index"
    );
    let views = format!("SELECT table_name, view_definition FROM information_schema.views WHERE {scope}");
    let columns = query(connection, &columns).await?;
    let keys = query(connection, &keys).await?;
    let views = query(connection, &views).await?;
    Ok(decode::relations(&columns, &keys, &views))
}

/// The foreign keys of all tables of a database.
pub(super) async fn foreign_keys(
    connection: &mut PooledConnection,
    db_name: &str,
) -> Result<ForeignKeysOfTables> {
    let db_name = text(db_name);
    // Named in both tables: servers read the definitions of all tables for what is only joined.
    let keys = format!(
        "SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, k.referenced_column_name, \
         r.delete_rule, r.update_rule, version() FROM information_schema.key_column_usage k \
         JOIN information_schema.referential_constraints r ON r.constraint_name = k.constraint_name \
         AND r.table_name = k.table_name WHERE r.constraint_schema = {db_name} AND k.constraint_schema = {db_name} \
         AND k.table_schema = {db_name} AND k.referenced_table_schema = {db_name} \
         ORDER BY k.table_name, k.constraint_name, k.ordinal_position"
    );
    Ok(decode::foreign_keys(&query(connection, &keys).await?))
}

/// The condition on `table_schema` and `table_name`.
fn scope(db_name: &str, names: Option<&[TableName]>) -> String {
    let schema = format!("table_schema = {}", text(db_name));
    match names {
        None => schema,
        Some([]) => format!("{schema} AND FALSE"),
        Some(names) => {
            let names: Vec<String> = names.iter().map(|name| text(name)).collect();
            format!("{schema} AND table_name IN ({})", names.join(", "))
        }
    }
}

/// A string literal, whatever `sql_mode` says of backslashes.
fn text(value: &str) -> String {
    if value.contains('\\') {
        let digits: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
        return format!("CONVERT(x'{digits}' USING utf8mb4)");
    }
    format!("'{}'", value.replace('\'', "''"))
}

/// Like [`BackendConnection::query_all`](crate::backend::BackendConnection::query_all), for large schemas.
async fn query(connection: &mut PooledConnection, sql: &str) -> Result<ControlResult> {
    connection.queue(&crate::wire::Command::Query(sql.as_bytes()));
    connection.flush().await?;
    let mut stream = RowStream::open(&mut **connection, false).await?;
    let mut result = ControlResult::default();
    let mut bytes_left = limits::SCHEMA_BYTES_MAX;
    while let Some(row) = stream.next_row().await? {
        bytes_left = bytes_left.checked_sub(row.len()).ok_or_else(|| {
            let bytes_max = limits::SCHEMA_BYTES_MAX;
            Error::new(ErrorKind::LimitExceeded, format!("the schema has more than {bytes_max} bytes"))
        })?;
        let fields: std::result::Result<Vec<_>, Malformed> =
            text_fields(row).map(|field| field.map(|field| field.map(<[u8]>::to_vec))).collect();
        result.rows.push(fields.map_err(Malformed::into_backend_error)?);
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_any_mode() {
        assert_eq!(scope("vt_it's", None), "table_schema = 'vt_it''s'");
        let names = ["a".into(), "b\\".into()];
        assert_eq!(
            scope("d", Some(&names)),
            "table_schema = 'd' AND table_name IN ('a', CONVERT(x'625c' USING utf8mb4))"
        );
        assert_eq!(scope("d", Some(&[])), "table_schema = 'd' AND FALSE");
    }
}
