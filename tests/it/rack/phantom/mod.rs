//! A machine without a machine: it says on the wire what firmware, iPXE, an installer and a first
//! boot say, in milliseconds. Real firmware covers the main paths; phantoms cover every way to fail.

mod dhcp;
mod http;
mod tftp;

use std::net::Ipv4Addr;
use std::sync::Mutex;

use farrier::cli::demo::rack::{Host, Patience, Rack, RackError};
use farrier::model::MacAddr;

pub(crate) use dhcp::{Answer, Asker};
pub(crate) use http::Reply;
pub(crate) use tftp::Transfer;

/// A phantom, plugged into a rack.
#[derive(Debug)]
pub(crate) struct Phantom {
    pub(crate) host: Host,
    disk: String,
    /// The certificate it pinned.
    authority: Mutex<Option<String>>,
}

/// What a machine was told after it asked all the way down to its boot script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// No answer to its DHCP.
    Nothing,
    /// An address, and nothing to boot; or a script that says "your own disk".
    OwnDisk,
    /// This boot script.
    Script(String),
}

/// An installer at work: what its boot script gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installer {
    answers: String,
    report: String,
}

impl Phantom {
    pub(crate) fn new(rack: &Rack, name: &str) -> Result<Phantom, RackError> {
        Ok(Phantom {
            host: rack.host(name)?,
            disk: format!("serial=PHANTOM-{name}"),
            authority: Mutex::default(),
        })
    }

    pub(crate) fn mac(&self) -> MacAddr {
        self.host.mac()
    }

    /// One DHCP conversation; takes the address if it is given one.
    pub(crate) fn dhcp(&self, asker: Asker) -> Result<Option<Answer>, RackError> {
        let mac = self.mac();
        let interface = self.host.interface().to_string();
        let answer = self
            .host
            .namespace()
            .inside(|| dhcp::converse(&interface, mac, asker))??;
        if let Some(answer) = &answer {
            self.host.no_address()?;
            self.host.address(&format!("{}/24", answer.ip))?;
        }
        Ok(answer)
    }

    /// Fetches one file by TFTP.
    pub(crate) fn tftp(&self, server: Ipv4Addr, name: &str) -> Result<Transfer, RackError> {
        self.host.namespace().inside(|| tftp::fetch(server, name))?
    }

    /// Asks one URL. A body makes it a POST.
    pub(crate) fn http(&self, url: &str, body: Option<&str>) -> Result<Reply, RackError> {
        let authority = self.pinned();
        self.host
            .namespace()
            .inside(|| http::ask(url, body, authority.as_deref()))?
    }

    /// A power-on of a BIOS machine: its ROM, the loader it is told, iPXE, its script.
    pub(crate) fn boot(&self) -> Result<Told, RackError> {
        self.boot_as(Asker::Bios)
    }

    /// A power-on with this firmware.
    pub(crate) fn boot_as(&self, firmware: Asker) -> Result<Told, RackError> {
        let Some(rom) = self.dhcp(firmware)? else {
            return Ok(Told::Nothing);
        };
        let Some(loader) = rom.boot_file() else {
            return Ok(Told::OwnDisk);
        };
        if loader.starts_with("http://") {
            self.http(&loader, None)?.must_be(200, &loader)?;
        } else {
            match self.tftp(rom.next_server(), &loader)? {
                Transfer::File(_) => {}
                other => {
                    return Err(RackError::Missing(format!(
                        "`{loader}` was advertised and is not served: {other:?}"
                    )));
                }
            }
        }
        let ipxe = self.dhcp(Asker::Ipxe)?;
        let Some(url) = ipxe.as_ref().and_then(Answer::boot_file) else {
            return Ok(Told::OwnDisk);
        };
        let script = self.script(&url)?;
        Ok(if script.contains("\nkernel ") {
            Told::Script(script)
        } else {
            Told::OwnDisk
        })
    }

    /// Fetches a script as iPXE does, and goes on where it only chains to another.
    pub(crate) fn script(&self, url: &str) -> Result<String, RackError> {
        let script = self.http(url, None)?.must_be(200, url)?.text();
        let chained = script.lines().find_map(|l| {
            let rest = l.strip_prefix("chain --autofree --replace ")?;
            rest.contains("?platform=").then(|| rest.to_string())
        });
        match chained {
            Some(next) => {
                let next = next
                    .replace("${platform}", "pcbios")
                    .replace("${buildarch}", "x86_64");
                Ok(self.http(&next, None)?.must_be(200, &next)?.text())
            }
            None => Ok(script),
        }
    }

    /// A power-on that must lead to the installer: kernel and initrds are fetched, then its answers.
    pub(crate) fn start_installer(&self) -> Result<Installer, RackError> {
        let Told::Script(script) = self.boot()? else {
            return Err(RackError::Missing(
                "the machine was not told to install".into(),
            ));
        };
        self.fetch_kernel(&script)?;
        self.installer(&script)
    }

    /// What iPXE does with a boot script.
    pub(crate) fn fetch_kernel(&self, script: &str) -> Result<(), RackError> {
        let lines = script.lines();
        for line in lines.filter(|l| l.starts_with("kernel ") || l.starts_with("initrd ")) {
            let url = line.split(' ').find(|w| w.starts_with("http://"));
            let url = url.ok_or_else(|| RackError::Missing(format!("no URL in `{line}`")))?;
            self.http(url, None)?.must_be(200, url)?;
        }
        Ok(())
    }

    /// What an installer does first: it asks for an address and fetches its answers.
    pub(crate) fn installer(&self, script: &str) -> Result<Installer, RackError> {
        self.dhcp(Asker::System)?;
        let word = script
            .split_whitespace()
            .find_map(|w| w.strip_prefix("answers="));
        let answers = word.ok_or_else(|| {
            RackError::Missing(format!("no `answers=` on the command line:\n{script}"))
        })?;
        self.installer_at(answers)
    }

    /// What an installer does once it has an address: it fetches its answers.
    pub(crate) fn installer_at(&self, answers: &str) -> Result<Installer, RackError> {
        let text = self.http(answers, None)?.must_be(200, answers)?.text();
        let report = text.lines().find_map(|l| l.strip_prefix("report="));
        let report =
            report.ok_or_else(|| RackError::Missing(format!("no report URL in {text}")))?;
        Ok(Installer {
            answers: answers.to_string(),
            report: report.to_string(),
        })
    }

    /// One report, whatever is answered.
    pub(crate) fn report(
        &self,
        installer: &Installer,
        verb: &str,
        body: &str,
    ) -> Result<Reply, RackError> {
        self.http(&format!("{}/{verb}", installer.report), Some(body))
    }

    /// Where the hand-off is, asked over TLS with the certificate that came with `first-boot.sh`.
    pub(crate) fn hand_off(&self, installer: &Installer) -> Result<String, RackError> {
        let script = self.first_boot_script(installer)?;
        let value = |name: &str| {
            let (_, rest) = script.split_once(&format!("\n{name}='"))?;
            Some(rest.split_once('\'')?.0.to_string())
        };
        let missing = |what: &str| RackError::Missing(format!("{what} in first-boot.sh"));
        let authority = value("AUTHORITY").ok_or_else(|| missing("no certificate"))?;
        self.pin(&authority);
        let report = value("REPORT").ok_or_else(|| missing("no address"))?;
        let asked = self.http(&format!("{report}/handoff"), Some(""))?;
        let text = asked.must_be(200, "where the hand-off is")?.text();
        let url = text.trim().strip_prefix("handoff=").map(str::to_string);
        url.ok_or_else(|| RackError::Missing(format!("no hand-off in `{text}`")))
    }

    /// Trusts this authority from now on.
    pub(crate) fn pin(&self, authority: &str) {
        *self.authority.lock().expect("unpoisoned") = Some(authority.to_string());
    }

    /// The authority that it trusts.
    pub(crate) fn pinned(&self) -> Option<String> {
        self.authority.lock().expect("unpoisoned").clone()
    }

    /// The script that places the first-boot unit.
    pub(crate) fn first_boot_script(&self, installer: &Installer) -> Result<String, RackError> {
        let base = installer
            .answers
            .rsplit_once('/')
            .map_or("", |(base, _)| base);
        let script = format!("{base}/first-boot.sh");
        Ok(self.http(&script, None)?.must_be(200, &script)?.text())
    }

    /// One report that must be taken.
    pub(crate) fn must_report(
        &self,
        installer: &Installer,
        verb: &str,
        body: &str,
    ) -> Result<String, RackError> {
        let reply = self.report(installer, verb, body)?;
        Ok(reply.must_be(200, verb)?.text())
    }

    /// The disks as an installer lists them: one, blank.
    pub(crate) fn disks(&self) -> String {
        format!(
            "path=/dev/vda size=4294967296 {} bus=virtio contents=blank\n",
            self.disk
        )
    }

    /// The first boot of an installed system: the hand-off is redeemed and its result reported.
    pub(crate) fn first_boot(&self, handoff: &str, class: &str) -> Result<Reply, RackError> {
        let key = "key=0123456789abcdef0123456789abcdef\n";
        let bundle = format!("{handoff}/bundle");
        self.http(&bundle, Some(key))?.must_be(200, &bundle)?;
        let code = if class == "failed" { 1 } else { 0 };
        let result = format!("agent=steps\ncode={code}\nclass={class}\nseconds=1\n\nphantom\n");
        self.http(&format!("{handoff}/result"), Some(&result))
    }
}

impl Installer {
    /// One whose documents are below `base`, which ends in a slash.
    pub(crate) fn of(base: &str, report: &str) -> Installer {
        Installer {
            answers: base.to_string(),
            report: report.to_string(),
        }
    }

    pub(crate) fn answers(&self) -> &str {
        &self.answers
    }

    pub(crate) fn report_url(&self) -> &str {
        &self.report
    }
}

/// How long a server may take over one step of a phantom's.
pub(crate) const STEP: Patience = Patience::seconds(20);
