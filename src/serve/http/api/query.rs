//! What stands behind the question mark.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

use super::answer::No;
use crate::model::{Code, Refusal, Selection};

/// Key and value pairs, in order; keys may come again. Every key must be taken by somebody: an
/// unknown one is refused, because a misspelt filter would select everything.
#[derive(Debug)]
pub(super) struct Pairs(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = No;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, No> {
        Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map(|Query(pairs)| Pairs(pairs))
            .map_err(|e| No(Refusal::new(Code::Usage, e.body_text())))
    }
}

impl Pairs {
    /// All values of a key.
    pub(super) fn all<T: FromStr>(&mut self, key: &str) -> Result<Vec<T>, Refusal>
    where
        T::Err: Display,
    {
        let mut found = Vec::new();
        let mut rest = Vec::new();
        for (name, value) in std::mem::take(&mut self.0) {
            if name == key {
                found.push(value.parse().map_err(|e: T::Err| {
                    Refusal::new(Code::Usage, format!("`{key}={value}`: {e}"))
                })?);
            } else {
                rest.push((name, value));
            }
        }
        self.0 = rest;
        Ok(found)
    }

    /// The value of a key that comes once at most.
    pub(super) fn one<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, Refusal>
    where
        T::Err: Display,
    {
        let mut found = self.all(key)?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(Refusal::new(Code::Usage, format!("`{key}` is given twice"))),
        }
    }

    /// `select`, `tag` and `phase`.
    pub(super) fn selection(&mut self) -> Result<Selection, Refusal> {
        Ok(Selection {
            selectors: self.all("select")?,
            tags: self.all("tag")?,
            phases: self.all("phase")?,
        })
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Refusal> {
        match self.0.first() {
            None => Ok(()),
            Some((key, _)) => Err(Refusal::new(
                Code::Usage,
                format!("`{key}` means nothing here"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phase;

    fn pairs(list: &[(&str, &str)]) -> Pairs {
        let own = list.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        Pairs(own.collect())
    }

    #[test]
    fn every_key_must_mean_something() {
        let mut query = pairs(&[
            ("tag", "web"),
            ("select", "a"),
            ("tag", "b"),
            ("phase", "failed"),
        ]);
        let selection = query.selection().expect("a selection");
        assert_eq!(selection.tags, ["web", "b"]);
        assert_eq!(selection.phases, [Phase::Failed]);
        assert!(query.end().is_ok());

        let mut query = pairs(&[("tags", "web")]);
        assert!(query.selection().expect("empty").is_empty());
        assert_eq!(query.end().expect_err("misspelt").code, Code::Usage);

        assert!(pairs(&[("phase", "done")]).selection().is_err());
        assert!(pairs(&[("n", "1"), ("n", "2")]).one::<u32>("n").is_err());
    }
}
