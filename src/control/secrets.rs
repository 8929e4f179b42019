//! Secrets: set, listed by name, removed; their values leave with a hand-off and in no other way.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::writer::Command;
use super::{Control, TellError, check};
use crate::boot::token::fill;
use crate::inventory;
use crate::model::view::SecretView;
use crate::model::{BuildKey, Code, Document, Name, Refusal, SecretName, System};
use crate::render;
use crate::store::SecretRow;

impl Control {
    /// Sets a secret, or replaces its value. Systems that waited for it are looked at again.
    ///
    /// # Errors
    /// If the value is no text, is too long, or cannot be stored.
    pub async fn set_secret(
        &self,
        name: &SecretName,
        value: &str,
        actor: &str,
    ) -> Result<SecretView, Refusal> {
        let odd = |c: &char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
        if value.is_empty() || value.contains(|c| odd(&c)) {
            let what = if value.is_empty() {
                "the value is empty"
            } else {
                "the value has control characters"
            };
            return Err(Refusal::new(Code::Invalid, what)
                .help("a secret is text; encode other bytes, as with base64"));
        }
        let sealed = self
            .sealer
            .seal(name, value)
            .map_err(|e| Refusal::new(Code::Invalid, e.to_string()))?;
        let row = SecretRow {
            sealed,
            time: self.clock(),
            actor: actor.to_string(),
        };
        self.store_secret(name, Some(Arc::new(row))).await?;
        tracing::info!(secret.name = %name, actor, "a secret was set");
        self.look_again().await?;
        self.secrets()
            .into_iter()
            .find(|s| s.name == *name)
            .ok_or_else(|| Refusal::failed("the secret was removed meanwhile"))
    }

    /// Removes a secret that nothing refers to.
    ///
    /// # Errors
    /// If there is none, or a system refers to it.
    pub async fn remove_secret(&self, name: &SecretName, actor: &str) -> Result<(), Refusal> {
        let known = self.secrets();
        let Some(found) = known.iter().find(|s| s.name == *name) else {
            let names: Vec<String> = known.iter().map(|s| s.name.to_string()).collect();
            let near = super::near(name.as_str(), &names);
            return Err(Refusal::not_found("secret", name.as_str(), &near));
        };
        if let Some(first) = found.systems.first() {
            let more = match found.systems.len() - 1 {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let message = format!("`{first}`{more} refers to the secret `{name}`");
            return Err(Refusal::refused(message).help(
                "remove the reference first; or set another value, which replaces this one",
            ));
        }
        self.store_secret(name, None).await?;
        tracing::info!(secret.name = %name, actor, "a secret was removed");
        Ok(())
    }

    /// Every secret by name, without values.
    pub fn secrets(&self) -> Vec<SecretView> {
        let snapshot = self.snapshot();
        let mut users: BTreeMap<SecretName, Vec<String>> = BTreeMap::new();
        for system in snapshot.site.systems.values() {
            let Some(profile) = snapshot.site.profile_of(system) else {
                continue;
            };
            for name in inventory::referred(system, profile) {
                users.entry(name).or_default().push(system.name.to_string());
            }
        }
        let view = |(name, row): (&SecretName, &Arc<SecretRow>)| {
            let mut systems = users.remove(name).unwrap_or_default();
            systems.sort();
            systems.dedup();
            SecretView {
                name: name.clone(),
                set: row.time,
                actor: row.actor.clone(),
                systems,
            }
        };
        snapshot.secrets.iter().map(view).collect()
    }

    /// Whether a secret is set.
    pub(super) fn is_set(&self, name: &SecretName) -> bool {
        self.snapshot.load().secrets.contains_key(name)
    }

    /// The value of a secret, wiped from memory when it is dropped. For what goes to the machine or
    /// its management controller, never for a person.
    ///
    /// # Errors
    /// A sentence: it is not set, or cannot be opened.
    pub fn secret(&self, name: &SecretName) -> Result<Zeroizing<String>, String> {
        match self.snapshot.load().secrets.get(name) {
            Some(row) => self
                .sealer
                .open_sealed(name, &row.sealed)
                .map_err(|e| e.to_string()),
            None => Err(format!("the secret `{name}` is not set")),
        }
    }

    /// A document of the hand-off as it leaves: with the build's tokens and the secrets' values.
    /// Whoever calls this has checked that the asker holds the secret token.
    ///
    /// # Errors
    /// A sentence, if a secret is not there any more.
    pub fn released(
        &self,
        document: &Document,
        build: &BuildKey,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let filled = Zeroizing::new(fill(&document.bytes, &self.key, build, true));
        render::release(&filled, &|name| self.secret(name))
    }

    async fn store_secret(
        &self,
        name: &SecretName,
        row: Option<Arc<SecretRow>>,
    ) -> Result<(), Refusal> {
        let (done, wait) = oneshot::channel();
        let command = Command::Secret {
            name: name.clone(),
            row,
            done,
        };
        let stored = match self.commands.send(command).await {
            Ok(()) => wait.await.unwrap_or(Err(TellError::Stopped)),
            Err(_) => Err(TellError::Stopped),
        };
        stored.map_err(|e| Refusal::failed(e.to_string()))
    }

    /// Checks the systems again that could not be used: what they lacked may be there now.
    async fn look_again(&self) -> Result<(), Refusal> {
        let loaded = self.files.loaded.lock().await;
        let before = self.site();
        let broken: Vec<Name> = before
            .systems
            .values()
            .filter(|s| s.broken.is_some())
            .map(|s| s.name.clone())
            .collect();
        if broken.is_empty() {
            return Ok(());
        }
        let mut site = (*before).clone();
        for name in &broken {
            if let Some(system) = site.systems.get(name) {
                let unmarked = System {
                    broken: None,
                    ..(**system).clone()
                };
                check::replace(&mut site, unmarked);
            }
        }
        let pending = self.files.pending().clone();
        let left = tokio::task::block_in_place(|| {
            check::mark_broken(self, &mut site, &before, &loaded.files, &pending)
        });
        self.publish(site, None)
            .await
            .map_err(|e| Refusal::failed(e.to_string()))?;
        self.files.set_pending(left);
        Ok(())
    }
}
