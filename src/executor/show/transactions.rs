//! `SHOW UNRESOLVED TRANSACTIONS` and `SHOW TRANSACTION STATUS`: distributed transactions that have not ended on all
//! their shards, in Vitess's columns.

use crate::error::Result;
use crate::executor::Executor;
use crate::executor::job::Job;
use crate::executor::table::Table;
use crate::sql::statement::{Show, ShowKind};
use crate::twopc::Unresolved;

/// The columns of both.
pub(super) fn columns() -> Table {
    Table::of_text(["id", "state", "record_time", "participants"])
}

impl Executor {
    /// Looks at every primary. Those that do not answer are told about in warnings of the log, not here.
    pub(super) async fn show_transactions(&self, job: &mut Job<'_>, show: &Show) -> Result<()> {
        let (unresolved, failures) = self.resolver().unresolved().await;
        for failure in failures {
            tracing::warn!(failure, "transactions in doubt there are not shown");
        }
        let mut table = columns();
        table.rows = unresolved.iter().filter(|transaction| is_wanted(transaction, show)).map(row).collect();
        self.filter(job, show, &mut table)?;
        self.send_table(job, table).await
    }
}

fn row(transaction: &Unresolved) -> Vec<Option<Vec<u8>>> {
    let time = Some(&transaction.decided_at).filter(|time| !time.is_empty());
    let places = transaction.participants.join(",");
    vec![
        Some(transaction.dtid.clone().into_bytes()),
        Some(transaction.phase.as_str().as_bytes().to_vec()),
        time.map(|time| time.clone().into_bytes()),
        Some(places.into_bytes()),
    ]
}

fn is_wanted(transaction: &Unresolved, show: &Show) -> bool {
    if show.kind == ShowKind::TransactionStatus {
        return show.table.as_deref() == Some(&transaction.dtid);
    }
    let in_keyspace = |name: &str, place: &str| place.split_once(':').is_some_and(|(found, _)| found == name);
    show.keyspace.as_ref().is_none_or(|(name, _)| {
        in_keyspace(name, &transaction.dtid)
            || transaction.participants.iter().any(|place| in_keyspace(name, place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::options::LexOptions;
    use crate::sql::statement::parse_show;
    use crate::twopc::Phase;

    #[test]
    fn filters_by_name_and_keyspace() {
        let transaction = Unresolved {
            dtid: "bank:-80:1".to_owned(),
            phase: Phase::Prepare,
            decided_at: String::new(),
            participants: vec!["audit:-".to_owned()],
        };
        let check = |text: &str, expected: bool| {
            let show = parse_show(text.as_bytes(), &LexOptions::default()).unwrap();
            assert_eq!(is_wanted(&transaction, &show), expected, "{text}");
        };
        check("show unresolved transactions", true);
        check("show unresolved transactions for bank", true);
        check("show unresolved transactions for audit", true);
        check("show unresolved transactions for customer", false);
        check("show transaction status 'bank:-80:1'", true);
        check("show transaction status 'bank:-80:2'", false);
        assert_eq!(row(&transaction)[2], None);
    }
}
