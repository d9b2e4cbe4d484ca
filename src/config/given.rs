//! One value as it was given, from TOML or as text, and its conversion to what a key needs.
//!
//! Errors here say only what is expected; [`super::load`] adds file and key.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// A value of the file, or a text of the environment or command line.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// From the file, whose folder relative paths start from.
    File { value: toml::Value, dir: PathBuf },
    /// From elsewhere; relative paths start from the working directory.
    Text(String),
}

impl Given {
    /// Any text.
    pub(super) fn text(&self) -> Result<String, String> {
        match self {
            Self::File { value: toml::Value::String(text), .. } | Self::Text(text) => Ok(text.clone()),
            Self::File { value, .. } => Err(format!("must be a string, not {}", describe(value))),
        }
    }

    /// A text with something in it.
    pub(super) fn some_text(&self) -> Result<String, String> {
        let text = self.text()?;
        if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text) }
    }

    /// A path; empty means none.
    pub(super) fn optional_path(&self) -> Result<Option<PathBuf>, String> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self {
            Self::File { dir, .. } => dir.join(text),
            Self::Text(_) => PathBuf::from(text),
        }))
    }

    /// A path that must be given.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        self.optional_path()?.ok_or_else(|| "must not be empty; give a path".to_owned())
    }

    /// `host:port`; empty means none.
    pub(super) fn optional_address(&self) -> Result<Option<String>, String> {
        let text = self.text()?;
        if text.is_empty() {
            return Ok(None);
        }
        check_address(&text).map(|()| Some(text))
    }

    /// A list of texts: an array, or one text separated by commas.
    pub(super) fn list(&self) -> Result<Vec<String>, String> {
        match self {
            Self::File { value: toml::Value::Array(items), dir } => {
                let text = |item: &toml::Value| Self::File { value: item.clone(), dir: dir.clone() }.text();
                items.iter().map(text).collect()
            }
            Self::File { value, .. } => Err(format!("must be a list of strings, not {}", describe(value))),
            Self::Text(text) if text.trim().is_empty() => Ok(Vec::new()),
            Self::Text(text) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
        }
    }

    /// A list of `name=word`, each word one of some.
    pub(super) fn choices<T: Copy>(&self, choices: &[(&str, T)]) -> Result<Vec<(String, T)>, String> {
        let pair = |item: String| {
            let (name, word) = item
                .split_once('=')
                .ok_or_else(|| format!("must be a list of name=word; {item:?} is not"))?;
            let choice = Self::Text(word.trim().to_owned()).choice(choices)?;
            Ok((name.trim().to_owned(), choice))
        };
        self.list()?.into_iter().map(pair).collect()
    }

    /// A list of `host:port`: an array, or text separated by commas.
    pub(super) fn addresses(&self) -> Result<Vec<String>, String> {
        let addresses = self.list()?;
        addresses.iter().try_for_each(|address| check_address(address))?;
        Ok(addresses)
    }

    /// A whole number in a range.
    pub(super) fn number(&self, min: u64, max: u64) -> Result<u64, String> {
        let number = match self {
            Self::File { value: toml::Value::Integer(number), .. } => u64::try_from(*number).ok(),
            Self::File { value, .. } => return Err(format!("must be a number, not {}", describe(value))),
            Self::Text(text) => text.trim().replace('_', "").parse().ok(),
        };
        number.filter(|number| (min..=max).contains(number)).ok_or_else(|| format!("must be {min} to {max}"))
    }

    /// A count, in a range that fits memory.
    pub(super) fn count(&self, min: u64, max: u32) -> Result<usize, String> {
        let number = self.number(min, u64::from(max))?;
        usize::try_from(number).map_err(|_| format!("must be {min} to {max}"))
    }

    /// Milliseconds, at most a day.
    pub(super) fn milliseconds(&self) -> Result<Duration, String> {
        self.number(1, 86_400_000).map(Duration::from_millis)
    }

    /// Milliseconds up to a day; 0 is no limit.
    pub(super) fn milliseconds_or_none(&self) -> Result<Duration, String> {
        self.number(0, 86_400_000).map(Duration::from_millis)
    }

    /// Seconds, at most a year.
    pub(super) fn seconds(&self) -> Result<Duration, String> {
        self.number(0, 31_536_000).map(Duration::from_secs)
    }

    /// True or false.
    pub(super) fn flag(&self) -> Result<bool, String> {
        match self {
            Self::File { value: toml::Value::Boolean(flag), .. } => Ok(*flag),
            Self::File { value, .. } => Err(format!("must be true or false, not {}", describe(value))),
            Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err("must be true or false".to_owned()),
            },
        }
    }

    /// One of some words, in any case.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.text()?;
        let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            format!("must be one of {}, not {text:?}", words.join(", "))
        })
    }
}

fn describe(value: &toml::Value) -> &'static str {
    match value {
        toml::Value::String(_) => "a string",
        toml::Value::Integer(_) => "a number",
        toml::Value::Float(_) => "a number with a fraction",
        toml::Value::Boolean(_) => "true or false",
        toml::Value::Datetime(_) => "a date",
        toml::Value::Array(_) => "a list",
        toml::Value::Table(_) => "a table",
    }
}

fn check_address(text: &str) -> Result<(), String> {
    let complaint = || format!("{text:?} is no address; write host:port, for example 127.0.0.1:15306");
    let (host, port) = text.rsplit_once(':').ok_or_else(complaint)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let strange = host.is_empty() || host.contains(char::is_whitespace) || (host.contains(':') && !bracketed);
    if strange || port.parse::<u16>().is_err() { Err(complaint()) } else { Ok(()) }
}

/// Where a path of the configuration file starts from.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    file.parent().map(Path::to_path_buf).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Given {
        Given::Text(text.to_owned())
    }

    #[test]
    fn addresses() {
        assert_eq!(text("").optional_address(), Ok(None));
        for good in ["127.0.0.1:0", "localhost:15306", "[::1]:80"] {
            assert_eq!(text(good).optional_address(), Ok(Some(good.to_owned())));
        }
        for bad in ["15306", ":15306", "host:", "host:65536", "::1:80", "a b:1"] {
            assert!(text(bad).optional_address().is_err(), "{bad}");
        }
        assert_eq!(text("a:1, b:2").addresses(), Ok(vec!["a:1".to_owned(), "b:2".to_owned()]));
    }

    #[test]
    fn lists_of_choices() {
        let words = [("one", 1), ("two", 2)];
        assert_eq!(
            text("a=one, b = TWO").choices(&words),
            Ok(vec![("a".to_owned(), 1), ("b".to_owned(), 2)])
        );
        assert_eq!(text("").choices(&words), Ok(Vec::new()));
        assert!(text("a").choices(&words).is_err() && text("a=three").choices(&words).is_err());
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(text("1_000").number(1, 1_000), Ok(1_000));
        assert_eq!(text("1001").number(1, 1_000), Err("must be 1 to 1000".to_owned()));
        assert_eq!(text("-1").number(0, 9), Err("must be 0 to 9".to_owned()));
        let negative = Given::File { value: toml::Value::Integer(-1), dir: PathBuf::new() };
        assert_eq!(negative.number(0, 9), Err("must be 0 to 9".to_owned()));
    }

    #[test]
    fn paths_start_from_the_files_folder() {
        let given =
            Given::File { value: "users.json".into(), dir: folder_of(Path::new("/etc/shardgate.toml")) };
        assert_eq!(given.path(), Ok(PathBuf::from("/etc/users.json")));
        assert_eq!(text("users.json").path(), Ok(PathBuf::from("users.json")));
        assert_eq!(text("").optional_path(), Ok(None));
    }
}
