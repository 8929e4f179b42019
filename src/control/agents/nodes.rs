//! Machines as configuration management sees them.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::Control;
use crate::model::agent::AgentSpec;
use crate::model::command::Selection;
use crate::model::secret::reference;
use crate::model::{Handoff, NodeView, Phase, Refusal, Site, System};
use crate::render;

impl Control {
    /// Machines, by name; an empty selection means all.
    ///
    /// # Errors
    /// If a selector matches nothing.
    pub fn nodes(&self, selection: &Selection) -> Result<Vec<NodeView>, Refusal> {
        let snapshot = self.snapshot();
        let systems = self.resolve(&snapshot, selection, true)?;
        Ok(systems.iter().map(|system| self.node(system)).collect())
    }

    /// One machine by its full name, its own or its hardware address.
    ///
    /// # Errors
    /// If there is none.
    pub fn node_of(&self, subject: &str) -> Result<NodeView, Refusal> {
        match self.system_of_fqdn(subject) {
            Some(system) => Ok(self.node(&system)),
            None => Ok(self.node(&self.one(&self.snapshot(), subject)?)),
        }
    }

    fn node(&self, system: &Arc<System>) -> NodeView {
        let snapshot = self.snapshot();
        let site = &snapshot.site;
        let profile = site.profile_of(system);
        let machine = snapshot.machines.get(&system.name);
        let build = machine.and_then(|m| m.build.as_ref());
        let vars = profile.map_or_else(
            || system.vars.clone(),
            |profile| render::variables(system, profile),
        );
        let environment = profile.and_then(|p| match &p.handoff {
            Handoff::Agent(plan) => match &plan.spec {
                AgentSpec::Puppet(puppet) => puppet.environment.clone(),
                AgentSpec::Chef(chef) => chef.environment.clone(),
                _ => None,
            },
            _ => None,
        });
        NodeView {
            name: system.name.clone(),
            fqdn: self.fqdn(site, system),
            ip: self.ip_of(system),
            mac: system.first().map(|i| i.mac),
            profile: system.profile.clone(),
            tags: system.tags.clone(),
            phase: build.map_or(Phase::Idle, |b| b.phase),
            environment,
            vars: without_secrets(&vars),
            host_keys: build.map_or_else(Vec::new, |b| b.host_keys.clone()),
        }
    }

    /// The full name that this system's documents are rendered with.
    fn fqdn(&self, site: &Site, system: &System) -> String {
        let ip = self.ip_of(system);
        let server = self.toward(site, self.near(system));
        let subnet = super::super::pin::subnet(site, ip, server.map(|s| *s.ip()));
        render::fqdn(system, subnet)
    }

    /// The system with this full name. A name with dots may be an entry's own, or a shorter one's
    /// with its subnet's domain.
    pub(in crate::control) fn system_of_fqdn(&self, fqdn: &str) -> Option<Arc<System>> {
        let site = self.site();
        let first = fqdn.split('.').next().unwrap_or("");
        let candidates = [fqdn, first].into_iter().filter_map(|n| site.system(n));
        let mut candidates = candidates.filter(|s| self.fqdn(&site, s) == fqdn);
        candidates.next().cloned()
    }
}

/// Without what refers to a secret: what is printed here ends up in other programs' catalogues and
/// logs.
fn without_secrets(vars: &Map<String, Value>) -> Map<String, Value> {
    let kept = vars.iter().filter_map(|(key, value)| {
        let value = cleared(value)?;
        Some((key.clone(), value))
    });
    kept.collect()
}

fn cleared(value: &Value) -> Option<Value> {
    if reference(value).is_some() {
        return None;
    }
    Some(match value {
        Value::Object(table) => Value::Object(without_secrets(table)),
        Value::Array(items) => items.iter().filter_map(cleared).collect(),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_var_that_refers_to_a_secret_is_left_out_wherever_it_stands() {
        let vars = json!({
            "a": 1,
            "b": { "secret": "x/y" },
            "c": { "d": { "secret": "x/y" }, "e": [1, { "secret": "x" }] },
            "f": { "secret": "x", "more": true },
        });
        let Value::Object(vars) = vars else {
            panic!("a table");
        };
        let left = Value::Object(without_secrets(&vars));
        let want = json!({ "a": 1, "c": { "e": [1] }, "f": { "secret": "x", "more": true } });
        assert_eq!(left, want);
    }
}
