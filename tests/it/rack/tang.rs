//! A key server of the rack: tangd itself, one for each connection, as its socket unit has it.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use farrier::cli::demo::rack::{Patience, Rack, RackError, SERVER};

/// Answers until the rack is gone.
pub(crate) struct Tang {
    namespace: String,
    port: u16,
    silent: Arc<AtomicBool>,
    refused: Arc<AtomicU32>,
    served: Arc<AtomicU32>,
}

impl Tang {
    /// A server with keys of its own, on a free port of the rack's server.
    pub(crate) fn new(rack: &Rack) -> Result<Tang, RackError> {
        let keys = rack.dir().join("tang");
        fs::create_dir_all(&keys).map_err(RackError::file(&keys))?;
        let made = Command::new("/usr/libexec/tangd-keygen")
            .arg(&keys)
            .status()
            .map_err(RackError::file(&keys))?;
        assert!(made.success(), "tangd-keygen");
        let listener = rack.namespace().inside(|| TcpListener::bind((SERVER, 0)))?;
        let listener = listener.map_err(RackError::file(&keys))?;
        let port = listener
            .local_addr()
            .map_err(RackError::file(&keys))?
            .port();
        let (silent, refused, served) = (Arc::default(), Arc::default(), Arc::default());
        let tang = Tang {
            namespace: rack.namespace().name().to_string(),
            port,
            silent: Arc::clone(&silent),
            refused: Arc::clone(&refused),
            served: Arc::clone(&served),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if silent.load(Ordering::SeqCst) {
                    refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                served.fetch_add(1, Ordering::SeqCst);
                let keys = keys.clone();
                std::thread::spawn(move || serve(&stream, &keys));
            }
        });
        Ok(tang)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How many connections were given to tangd so far.
    pub(crate) fn served(&self) -> u32 {
        self.served.load(Ordering::SeqCst)
    }

    /// Whether it answers; otherwise it hangs up on everyone.
    pub(crate) fn answers(&self, yes: bool) {
        self.silent.store(!yes, Ordering::SeqCst);
    }

    /// Waits until somebody was hung up on.
    pub(crate) fn refused(&self, patience: Patience) -> Result<(), RackError> {
        let count = || self.refused.load(Ordering::SeqCst);
        farrier::cli::demo::rack::until("a machine that asks Tang", patience, String::new, || {
            Ok((count() > 0).then_some(()))
        })
    }

    /// The thumbprint of its signing key, as its own program prints it.
    pub(crate) fn thumbprint(&self) -> Result<String, RackError> {
        let keys = PathBuf::from("tang-show-keys");
        let out = Command::new("ip")
            .args(["netns", "exec", &self.namespace, "sh", "-c"])
            .arg(format!("curl -sf http://{SERVER}:{}/adv | jose fmt -j- -g payload -y -o- | jose jwk use -i- -r -u verify -o- | jose jwk thp -i-", self.port))
            .output()
            .map_err(RackError::file(&keys))?;
        let text = String::from_utf8_lossy(&out.stdout).trim().to_string();
        assert!(!text.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        Ok(text)
    }
}

fn serve(stream: &TcpStream, keys: &Path) -> std::io::Result<()> {
    let (input, output) = (stream.try_clone()?, stream.try_clone()?);
    Command::new("/usr/libexec/tangd")
        .arg(keys)
        .stdin(Stdio::from(OwnedFd::from(input)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}
