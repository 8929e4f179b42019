//! Two computers and one cable, without a switch between them: a server and what loads it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Namespace, RackError, cleanup};

/// The interface at both ends of the cable.
const INTERFACE: &str = "eth0";

/// A server's namespace and a client's, with a cable between them.
#[derive(Debug)]
pub struct Pair {
    server: Namespace,
    client: Namespace,
    dir: PathBuf,
}

impl Pair {
    /// Builds one: `server` and `client` are their addresses, such as `10.77.0.1/16`.
    ///
    /// # Errors
    /// This is not root, or `ip` is missing.
    pub fn new(server: &str, client: &str) -> Result<Pair, RackError> {
        let (near, far) = (Namespace::new("server")?, Namespace::new("client")?);
        let dir = cleanup::base().join(near.name());
        cleanup::keep_directory(&dir);
        fs::create_dir_all(&dir).map_err(RackError::file(&dir))?;
        let cable = ["link", "add", INTERFACE, "type", "veth", "peer", "name"];
        near.ip(&[&cable[..], &[INTERFACE, "netns", far.name()]].concat())?;
        for (namespace, address) in [(&near, server), (&far, client)] {
            namespace.ip(&["addr", "add", address, "dev", INTERFACE])?;
            namespace.ip(&["link", "set", INTERFACE, "up"])?;
        }
        Ok(Pair {
            server: near,
            client: far,
            dir,
        })
    }

    /// Where the server runs.
    pub fn server(&self) -> &Namespace {
        &self.server
    }

    /// Where its clients are.
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The interface at both ends.
    pub fn interface(&self) -> &str {
        INTERFACE
    }

    /// Room for files; it goes with the pair.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        cleanup::drop_directory(&self.dir);
    }
}
