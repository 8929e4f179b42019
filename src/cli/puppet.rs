//! `farrier puppet`: what a Puppet server runs: its policy for certificates, its classifier of nodes.

use std::io::Read;

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::client::{Pairs, segment};
use super::{Exit, Session};
use crate::model::node::{AutosignView, ReportUrls};
use crate::model::{Code, NodeView, Refusal};

/// `farrier puppet VERB`.
#[derive(Debug, Subcommand)]
pub(super) enum PuppetCommand {
    Autosign(Autosign),
    Enc(Enc),
    ReportUrl(ReportUrl),
}

/// Say whether a certificate may be signed: Puppet's `autosign` setting names this.
///
/// Reads the request on standard input, as Puppet's server hands it over. Exit 0 if it has the
/// challenge of a machine that configures itself now and asks for that machine's name; else 4, with
/// the reason on stderr, in the server's log and in `farrier why`.
#[derive(Debug, Args)]
pub(super) struct Autosign {
    /// The name that the certificate would have
    #[arg(value_name = "CERTNAME")]
    certname: String,
}

/// Print a node's classes, parameters and environment: Puppet's `external_nodes`.
///
/// Classes are `vars.puppet.classes`, a list or a table of parameters; the environment is
/// `vars.puppet.environment`, else the profile's; all other vars are parameters, and so are
/// farrier_system, farrier_profile and farrier_tags. What refers to a secret is left out. A node that
/// Farrier does not know has none of all that.
#[derive(Debug, Args)]
pub(super) struct Enc {
    /// The name of the node's certificate
    #[arg(value_name = "CERTNAME")]
    certname: String,
}

/// Print the address for Puppet's `reporturl`. It has a token in it.
#[derive(Debug, Args)]
pub(super) struct ReportUrl {
    /// For a Puppet server on another host: HTTPS
    #[arg(long)]
    remote: bool,
}

/// A request for a certificate is shorter.
const LONGEST: u64 = 64 * 1024;

impl PuppetCommand {
    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        match self {
            PuppetCommand::Autosign(verb) => verb.run(session).await,
            PuppetCommand::Enc(verb) => verb.run(session).await,
            PuppetCommand::ReportUrl(verb) => verb.run(session).await,
        }
    }
}

impl Autosign {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let pem = tokio::task::block_in_place(|| {
            let mut pem = String::new();
            let mut stdin = std::io::stdin().take(LONGEST);
            stdin
                .read_to_string(&mut pem)
                .map(|_| pem)
                .map_err(|e| Refusal::failed(format!("standard input cannot be read: {e}")))
        })?;
        let body = serde_json::json!({ "certname": self.certname, "pem": pem });
        let view: AutosignView = session.client.post("/v1/puppet/autosign", &body).await?;
        let talk = format!(
            "`{}` is build {} of `{}`: it may be signed",
            self.certname, view.build, view.system
        );
        session.printer.talk(&talk);
        Ok(Exit::Done)
    }
}

impl Enc {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let path = format!("/v1/nodes/{}", segment(&self.certname));
        let node: Option<NodeView> = match session.client.get(&path, &Pairs::new()).await {
            Ok(node) => Some(node),
            Err(refusal) if refusal.code == Code::NotFound => None,
            Err(refusal) => return Err(refusal),
        };
        // A MAC or a name without its domain finds a machine too, and is no certificate's name.
        let node = node.filter(|n| n.fqdn == self.certname);
        let said = node.as_ref().map_or_else(
            || serde_json::json!({ "classes": {} }),
            |node| Value::Object(classified(node)),
        );
        // JSON is YAML.
        session.printer.line(&said.to_string());
        Ok(Exit::Done)
    }
}

/// A node as Puppet's external node classifiers describe one.
fn classified(node: &NodeView) -> Map<String, Value> {
    let mut parameters = node.vars.clone();
    let own = parameters.remove("puppet");
    let own = |key: &str| own.as_ref().and_then(|o| o.get(key)).cloned();
    let text = |text: &str| Value::from(text);
    parameters.insert("farrier_system".to_string(), text(node.name.as_str()));
    parameters.insert("farrier_profile".to_string(), text(node.profile.as_str()));
    parameters.insert("farrier_tags".to_string(), node.tags.clone().into());
    // Names of top-scope variables; others would fail every run of this node.
    parameters.retain(|name, _| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    });
    let mut out = Map::new();
    let classes = own("classes").unwrap_or_else(|| serde_json::json!({}));
    out.insert("classes".to_string(), classes);
    out.insert("parameters".to_string(), Value::Object(parameters));
    let environment = own("environment").or_else(|| node.environment.clone().map(Value::from));
    if let Some(environment) = environment {
        out.insert("environment".to_string(), environment);
    }
    out
}

impl ReportUrl {
    async fn run(self, session: &Session) -> Result<Exit, Refusal> {
        let urls: ReportUrls = session
            .client
            .get("/v1/puppet/report-url", &Pairs::new())
            .await?;
        let wanted = if self.remote {
            &urls.remote
        } else {
            &urls.local
        };
        if wanted.is_empty() {
            return Err(Refusal::failed("this server has no address yet").help("farrier status"));
        }
        session.printer.object(&urls, &wanted[0], || {
            wanted.iter().map(|url| format!("{url}\n")).collect()
        });
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Phase;
    use serde_json::json;

    pub(in crate::cli) fn node(vars: Value) -> NodeView {
        let Value::Object(vars) = vars else {
            panic!("a table");
        };
        NodeView {
            name: "web01".parse().expect("a name"),
            fqdn: "web01.lab.example".to_string(),
            ip: "10.77.0.11".parse().ok(),
            mac: "52:54:00:00:00:01".parse().ok(),
            profile: "debian-12".parse().expect("a name"),
            tags: vec!["web".to_string(), "rack12".to_string()],
            phase: Phase::Ready,
            environment: Some("production".to_string()),
            vars,
            host_keys: vec!["ssh-ed25519 AAAA root@web01".to_string()],
        }
    }

    #[test]
    fn vars_are_parameters_and_those_of_puppet_are_not() {
        let node = node(json!({
            "role": "web",
            "Bad-Name": 1,
            "puppet": { "classes": { "ntp": { "servers": ["10.77.0.1"] } } },
        }));
        assert_eq!(
            Value::Object(classified(&node)),
            json!({
                "classes": { "ntp": { "servers": ["10.77.0.1"] } },
                "parameters": {
                    "role": "web",
                    "farrier_system": "web01",
                    "farrier_profile": "debian-12",
                    "farrier_tags": ["web", "rack12"],
                },
                "environment": "production",
            })
        );
    }

    #[test]
    fn a_vars_environment_is_stronger_than_the_profiles() {
        let node = node(json!({ "puppet": { "classes": ["base"], "environment": "canary" } }));
        let said = classified(&node);
        assert_eq!(said["environment"], json!("canary"));
        assert_eq!(said["classes"], json!(["base"]));
    }
}
