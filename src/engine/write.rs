//! Statements without rows over several shards.

use super::execute::Run;
use super::seam::{ShardExecutor, WriteOutcome};
use crate::error::Result;
use crate::plan::primitive::Query;

/// Sends `query` to each shard. `is_same`: each does the same to its own copy, so that rows count once.
pub async fn write<E: ShardExecutor>(
    query: &Query,
    is_same: bool,
    run: &Run<'_>,
    executor: &mut E,
) -> Result<WriteOutcome> {
    let outcomes = executor.write(run.keyspace, run.queries(query)?).await?;
    Ok(if is_same { outcomes.into_iter().next().unwrap_or_default() } else { sum(outcomes) })
}

/// All outcomes as one: numbers are added up, also those in the text.
pub fn sum(outcomes: Vec<WriteOutcome>) -> WriteOutcome {
    let mut outcomes = outcomes.into_iter();
    let Some(mut total) = outcomes.next() else { return WriteOutcome::default() };
    for outcome in outcomes {
        total.affected_rows = total.affected_rows.saturating_add(outcome.affected_rows);
        total.warnings = total.warnings.saturating_add(outcome.warnings);
        if total.last_insert_id == 0
            || outcome.last_insert_id != 0 && outcome.last_insert_id < total.last_insert_id
        {
            total.last_insert_id = outcome.last_insert_id;
        }
        total.info = sum_info(&total.info, &outcome.info);
    }
    total
}

/// `Rows matched: 1  Changed: 1  Warnings: 0`: the numbers of both added up, if the words agree.
fn sum_info(a: &[u8], b: &[u8]) -> Vec<u8> {
    let parts = |text: &[u8]| -> (Vec<Vec<u8>>, Vec<u64>) {
        let mut words = vec![Vec::new()];
        let mut numbers = Vec::new();
        for byte in text {
            if byte.is_ascii_digit() {
                if words.len() > numbers.len() {
                    numbers.push(0_u64);
                }
                let last = numbers.len() - 1;
                numbers[last] = numbers[last].saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            } else {
                if numbers.len() == words.len() {
                    words.push(Vec::new());
                }
                let last = words.len() - 1;
                words[last].push(*byte);
            }
        }
        (words, numbers)
    };
    let ((words, numbers), (other_words, other_numbers)) = (parts(a), parts(b));
    if a.is_empty() || words != other_words || numbers.len() != other_numbers.len() {
        return if a.is_empty() { b.to_vec() } else { a.to_vec() };
    }
    let mut out = Vec::new();
    for (index, word) in words.iter().enumerate() {
        out.extend_from_slice(word);
        if let (Some(a), Some(b)) = (numbers.get(index), other_numbers.get(index)) {
            out.extend_from_slice(a.saturating_add(*b).to_string().as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_are_added_up() {
        let check = |a: &str, b: &str, expected: &str| {
            assert_eq!(String::from_utf8(sum_info(a.as_bytes(), b.as_bytes())).unwrap(), expected);
        };
        check(
            "Rows matched: 1  Changed: 1  Warnings: 0",
            "Rows matched: 12  Changed: 3  Warnings: 0",
            "Rows matched: 13  Changed: 4  Warnings: 0",
        );
        check("Records: 3  Duplicates: 0  Warnings: 0", "", "Records: 3  Duplicates: 0  Warnings: 0");
        check("", "Records: 3  Duplicates: 0  Warnings: 1", "Records: 3  Duplicates: 0  Warnings: 1");
        check("a 1", "b 2", "a 1");
    }

    #[test]
    fn outcomes_are_added_up_and_the_first_number_stays() {
        let one =
            |rows, id| WriteOutcome { affected_rows: rows, last_insert_id: id, ..WriteOutcome::default() };
        let total = sum(vec![one(1, 0), one(2, 8), one(3, 7)]);
        assert_eq!((total.affected_rows, total.last_insert_id), (6, 7));
    }
}
