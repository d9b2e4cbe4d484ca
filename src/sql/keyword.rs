//! The words that the fingerprinting pass reacts to, found by one probe of a table built at compile time.

macro_rules! keywords {
    ($($name:ident = $text:literal,)*) => {
        /// A word that changes how the text around it is treated.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Keyword { $($name,)* Other }

        const WORDS: &[(&str, Keyword)] = &[$(($text, Keyword::$name),)*];
    };
}

keywords! {
    Against = "AGAINST",
    All = "ALL",
    As = "AS",
    Begin = "BEGIN",
    Benchmark = "BENCHMARK",
    By = "BY",
    Character = "CHARACTER",
    Charset = "CHARSET",
    Collate = "COLLATE",
    Commit = "COMMIT",
    ConnectionId = "CONNECTION_ID",
    Curdate = "CURDATE",
    CurrentDate = "CURRENT_DATE",
    CurrentRole = "CURRENT_ROLE",
    CurrentTime = "CURRENT_TIME",
    CurrentTimestamp = "CURRENT_TIMESTAMP",
    CurrentUser = "CURRENT_USER",
    Curtime = "CURTIME",
    Database = "DATABASE",
    Date = "DATE",
    Delete = "DELETE",
    Duplicate = "DUPLICATE",
    Escape = "ESCAPE",
    Except = "EXCEPT",
    For = "FOR",
    FoundRows = "FOUND_ROWS",
    From = "FROM",
    GetLock = "GET_LOCK",
    Group = "GROUP",
    Having = "HAVING",
    In = "IN",
    Insert = "INSERT",
    Intersect = "INTERSECT",
    Interval = "INTERVAL",
    Into = "INTO",
    IsFreeLock = "IS_FREE_LOCK",
    IsUsedLock = "IS_USED_LOCK",
    JsonTable = "JSON_TABLE",
    LastInsertId = "LAST_INSERT_ID",
    LastVal = "LASTVAL",
    Limit = "LIMIT",
    LoadFile = "LOAD_FILE",
    Localtime = "LOCALTIME",
    Localtimestamp = "LOCALTIMESTAMP",
    Lock = "LOCK",
    Next = "NEXT",
    NextVal = "NEXTVAL",
    Now = "NOW",
    On = "ON",
    Order = "ORDER",
    Procedure = "PROCEDURE",
    Rand = "RAND",
    RandomBytes = "RANDOM_BYTES",
    ReleaseAllLocks = "RELEASE_ALL_LOCKS",
    ReleaseLock = "RELEASE_LOCK",
    Replace = "REPLACE",
    Returning = "RETURNING",
    Rollback = "ROLLBACK",
    RowCount = "ROW_COUNT",
    Rows = "ROWS",
    Schema = "SCHEMA",
    Select = "SELECT",
    Separator = "SEPARATOR",
    SessionUser = "SESSION_USER",
    Set = "SET",
    SetVal = "SETVAL",
    Share = "SHARE",
    Sleep = "SLEEP",
    SqlCalcFoundRows = "SQL_CALC_FOUND_ROWS",
    Sysdate = "SYSDATE",
    SystemUser = "SYSTEM_USER",
    Table = "TABLE",
    Time = "TIME",
    Timestamp = "TIMESTAMP",
    Union = "UNION",
    UnixTimestamp = "UNIX_TIMESTAMP",
    Update = "UPDATE",
    User = "USER",
    UtcDate = "UTC_DATE",
    UtcTime = "UTC_TIME",
    UtcTimestamp = "UTC_TIMESTAMP",
    Uuid = "UUID",
    UuidShort = "UUID_SHORT",
    Value = "VALUE",
    Values = "VALUES",
    Version = "VERSION",
    Wait = "WAIT",
    Where = "WHERE",
    Window = "WINDOW",
    With = "WITH",
}

const SLOTS: usize = 512;
const LONGEST: usize = 20;

/// Open addressing; `u8::MAX` marks a free slot.
const TABLE: [u8; SLOTS] = build_table();

/// The keyword that `word` is, in any case.
#[inline]
pub(super) fn find(word: &[u8]) -> Keyword {
    if word.len() < 2 || word.len() > LONGEST {
        return Keyword::Other;
    }
    let mut slot = slot_of(word);
    loop {
        let index = TABLE[slot];
        if index == u8::MAX {
            return Keyword::Other;
        }
        let (text, keyword) = WORDS[usize::from(index)];
        if text.len() == word.len() && is_equal(text.as_bytes(), word) {
            return keyword;
        }
        slot = (slot + 1) % SLOTS;
    }
}

/// Compares with capitals and underscores: no other byte of a word becomes one of these without its bit for case.
#[inline]
fn is_equal(keyword: &[u8], word: &[u8]) -> bool {
    let pairs = keyword.iter().zip(word);
    pairs.fold(0, |different, (keyword, byte)| different | (keyword ^ (byte & !0x20))) == 0
}

const fn slot_of(word: &[u8]) -> usize {
    let count = word.len();
    let first = (word[0] | 0x20) as usize;
    let second = (word[1] | 0x20) as usize;
    let last = (word[count - 1] | 0x20) as usize;
    let middle = (word[count / 2] | 0x20) as usize;
    (first * 7 + second * 31 + last * 3 + middle * 13 + count * 41) % SLOTS
}

const fn build_table() -> [u8; SLOTS] {
    assert!(WORDS.len() < u8::MAX as usize);
    let mut table = [u8::MAX; SLOTS];
    let mut index = 0;
    while index < WORDS.len() {
        let word = WORDS[index].0.as_bytes();
        assert!(word.len() >= 2 && word.len() <= LONGEST);
        let mut slot = slot_of(word);
        while table[slot] != u8::MAX {
            slot = (slot + 1) % SLOTS;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked above: fewer than 255 words")]
        let entry = index as u8;
        table[slot] = entry;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_found_in_any_case() {
        for (text, keyword) in WORDS {
            assert_eq!(find(text.as_bytes()), *keyword);
            assert_eq!(find(text.to_lowercase().as_bytes()), *keyword);
        }
        for other in ["", "a", "sbtest1", "selects", "sql_calc_found_rowsx", "id"] {
            assert_eq!(find(other.as_bytes()), Keyword::Other, "{other}");
        }
    }
}
