//! `farrier inventory`: the machines as a dynamic inventory of Ansible's.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value, json};

use super::client::{Pairs, segment};
use super::{Exit, Session};
use crate::model::{Code, NodeView, Refusal};

/// Print the machines as an Ansible inventory.
///
/// For an executable file that Ansible is given as its inventory: `exec farrier inventory "$@"`.
/// Groups: tag_TAG, profile_NAME, phase_PHASE. Variables: the system's vars, ansible_host, and
/// farrier with the rest. What refers to a secret is left out.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Inventory {
    /// All groups, hosts and variables
    #[arg(long, group = "what")]
    list: bool,
    /// The variables of one host
    #[arg(long, value_name = "NAME", group = "what")]
    host: Option<String>,
}

impl Inventory {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let said = match &self.host {
            None => {
                let nodes: Vec<NodeView> = session.client.get("/v1/nodes", &Pairs::new()).await?;
                listed(&nodes)
            }
            Some(name) => {
                let path = format!("/v1/nodes/{}", segment(name));
                match session.client.get::<NodeView>(&path, &Pairs::new()).await {
                    Ok(node) => Value::Object(variables(&node)),
                    // Ansible asks for hosts of other inventories too.
                    Err(refusal) if refusal.code == Code::NotFound => json!({}),
                    Err(refusal) => return Err(refusal),
                }
            }
        };
        let text = serde_json::to_string_pretty(&said)
            .map_err(|e| Refusal::failed(format!("the inventory cannot be written: {e}")))?;
        session.printer.line(&text);
        Ok(Exit::Done)
    }
}

/// Every group, and the variables of every host, so that Ansible need not ask for each.
fn listed(nodes: &[NodeView]) -> Value {
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut hostvars = Map::new();
    for node in nodes {
        let name = node.name.as_str();
        let tags = node.tags.iter().map(|tag| format!("tag_{tag}"));
        let own = [
            format!("profile_{}", node.profile),
            format!("phase_{}", node.phase.word()),
        ];
        for group in tags.chain(own) {
            groups.entry(group_name(&group)).or_default().push(name);
        }
        hostvars.insert(name.to_string(), Value::Object(variables(node)));
    }
    let names: Vec<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
    let mut out = Map::new();
    out.insert("_meta".to_string(), json!({ "hostvars": hostvars }));
    out.insert("all".to_string(), json!({ "hosts": names }));
    for (group, mut hosts) in groups {
        hosts.dedup();
        out.insert(group, json!({ "hosts": hosts }));
    }
    Value::Object(out)
}

fn variables(node: &NodeView) -> Map<String, Value> {
    let mut vars = node.vars.clone();
    // Names that Ansible cannot use would only be warned of, host by host.
    vars.retain(|name, _| group_name(name) == *name);
    if let Some(ip) = node.ip {
        vars.insert("ansible_host".to_string(), json!(ip));
    }
    let rest = json!({
        "fqdn": node.fqdn,
        "mac": node.mac,
        "profile": node.profile,
        "tags": node.tags,
        "phase": node.phase.word(),
        "host_keys": node.host_keys,
    });
    vars.insert("farrier".to_string(), rest);
    vars
}

/// Letters, digits and underscores, not beginning with a digit.
fn group_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = text.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phase;

    fn node(name: &str, tags: &[&str], vars: Value) -> NodeView {
        let Value::Object(vars) = vars else {
            panic!("a table");
        };
        NodeView {
            name: name.parse().expect("a name"),
            fqdn: format!("{name}.lab.example"),
            ip: "10.77.0.11".parse().ok(),
            mac: "52:54:00:00:00:01".parse().ok(),
            profile: "debian-12".parse().expect("a name"),
            tags: tags.iter().map(ToString::to_string).collect(),
            phase: Phase::Ready,
            environment: None,
            vars,
            host_keys: Vec::new(),
        }
    }

    #[test]
    fn groups_are_of_tags_profiles_and_phases() {
        let nodes = [
            node("db01", &["rack-12"], json!({ "role": "db", "a-b": 1 })),
            node("web01", &["rack-12", "web"], json!({})),
        ];
        let said = listed(&nodes);
        assert_eq!(said["tag_rack_12"], json!({ "hosts": ["db01", "web01"] }));
        assert_eq!(said["tag_web"], json!({ "hosts": ["web01"] }));
        assert_eq!(
            said["profile_debian_12"],
            json!({ "hosts": ["db01", "web01"] })
        );
        assert_eq!(said["phase_ready"], json!({ "hosts": ["db01", "web01"] }));
        let vars = &said["_meta"]["hostvars"]["db01"];
        assert_eq!(vars["role"], json!("db"));
        assert_eq!(vars["ansible_host"], json!("10.77.0.11"));
        assert_eq!(vars["farrier"]["fqdn"], json!("db01.lab.example"));
        assert!(vars.get("a-b").is_none());
        assert_eq!(listed(&[])["all"], json!({ "hosts": [] }));
    }
}
