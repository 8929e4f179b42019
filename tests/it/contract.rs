//! What is advertised is served: every name that DHCP, a script or an answer file mentions, for each
//! shipped profile and each firmware, is asked of the real server, and anything but success fails.
//!
//! Kernels and RAM disks are stand-ins under their right names: what is in them is not read here.

mod anaconda;
mod consumers;
mod imported;
mod kinds;
mod names;
mod nixos;
mod shipped;

use std::collections::{BTreeSet, VecDeque};

use farrier::boot::paths::{HttpPath, LOADERS, parse_http};
use farrier::cli::demo::rack::{Rack, RackError, SERVER, Server, tools};
use farrier::model::MacAddr;

use crate::clients::raw::{ACK, Asker, DISCOVER, Message, REQUEST, Said};
use crate::rack::can_run;
use crate::rack::phantom::{Phantom, Transfer};
use kinds::Boots;
pub(crate) use kinds::{needs, takes_keys};
use names::{Name, names};
use shipped::Flagged;

const NEEDS: [&[tools::Need]; 2] = [tools::NETWORK, tools::LOADERS];

/// Firmware as it says what it is: options 60 and 93, and whether Secure Boot is asked for.
pub(crate) struct Firmware {
    pub(crate) word: &'static str,
    class: &'static str,
    arch: u8,
    pub(crate) secure_boot: bool,
}

const fn firmware(word: &'static str, class: &'static str, arch: u8, secure: bool) -> Firmware {
    Firmware {
        word,
        class,
        arch,
        secure_boot: secure,
    }
}

pub(crate) const FIRMWARE: [Firmware; 6] = [
    firmware("bios", "PXEClient:Arch:00000:UNDI:002001", 0, false),
    firmware("uefi", "PXEClient:Arch:00007:UNDI:003016", 7, false),
    firmware("uefi-http", "HTTPClient:Arch:00016:UNDI:003001", 16, false),
    firmware("secure", "PXEClient:Arch:00007:UNDI:003016", 7, true),
    firmware("secure-http", "HTTPClient:Arch:00016:UNDI:003001", 16, true),
    firmware("arm64", "PXEClient:Arch:00011:UNDI:003000", 11, false),
];

#[test]
fn what_is_advertised_is_served() -> Result<(), RackError> {
    if !can_run("the contract", &NEEDS, false) {
        return Ok(());
    }
    let rack = Rack::new()?;
    let walker = Phantom::new(&rack, "walker")?;
    let (server, all) = shipped::serve(&rack)?;
    for flagged in &all {
        let mut walk = Walk {
            machine: &walker,
            server: &server,
            flagged,
            seen: BTreeSet::new(),
            due: VecDeque::new(),
            report: None,
            handoff: None,
        };
        walk.power_on()?;
        if flagged.boots == Boots::OwnDisk {
            continue;
        }
        if flagged.installs && kinds::reports(&flagged.profile) {
            walk.first_boot()?;
        }
        assert!(walk.seen.len() > 5, "{}: {:?}", flagged.name, walk.seen);
    }
    Ok(())
}

/// One boot of one machine, with everything it is pointed to.
struct Walk<'a> {
    machine: &'a Phantom,
    server: &'a Server,
    flagged: &'a Flagged,
    seen: BTreeSet<Name>,
    due: VecDeque<(Name, String)>,
    /// Where the installer reports, and where the first boot asks, once they were named.
    report: Option<String>,
    handoff: Option<String>,
}

impl Firmware {
    /// iPXE's `${platform}`.
    pub(crate) fn platform(&self) -> &'static str {
        if self.arch == 0 { "pcbios" } else { "efi" }
    }

    /// iPXE's `${buildarch}`.
    pub(crate) fn build(&self) -> &'static str {
        if self.arch == 11 { "arm64" } else { "x86_64" }
    }
}

impl Walk<'_> {
    fn power_on(&mut self) -> Result<(), RackError> {
        match self.flagged.boots {
            Boots::OwnDisk => return self.own_disk(),
            Boots::Own => self.own_program()?,
            Boots::Chain | Boots::Refused => self.chain()?,
        }
        self.follow()?;
        self.installer_asks()?;
        self.follow()
    }

    /// Nothing starts it: no boot data by DHCP, and a script that says why.
    fn own_disk(&mut self) -> Result<(), RackError> {
        let Flagged { firmware, mac, .. } = self.flagged;
        let rom = self.lease(&|kind| {
            Message::new(kind, *mac)
                .option(60, firmware.class)
                .option(93, [0, firmware.arch])
        })?;
        assert_eq!(rom.text(67), None, "{}", self.evidence());
        let url = format!(
            "http://{SERVER}/ipxe/{}?platform={}&arch={}",
            mac.dashed(),
            firmware.platform(),
            firmware.build()
        );
        let script = self.machine.http(&url, None)?.must_be(200, &url)?.text();
        assert!(script.contains("boots its own disk"), "{script}");
        assert!(script.contains("cannot boot this"), "{script}");
        assert!(!script.contains("/a/"), "{script}");
        Ok(())
    }

    /// The distro's own boot program, and the names it asks for by itself.
    fn own_program(&mut self) -> Result<(), RackError> {
        let Flagged { firmware, mac, .. } = self.flagged;
        let rom = self.lease(&|kind| {
            Message::new(kind, *mac)
                .option(60, firmware.class)
                .option(93, [0, firmware.arch])
        })?;
        let program = rom.text(67).expect("a boot program");
        self.advertised(&rom, &program);
        let (folder, _) = program.rsplit_once('/').expect("a folder");
        let beside = |file: &str| format!("{folder}/{file}");
        let asked = match self.flagged.profile.as_str() {
            "openbsd" => vec!["etc/boot.conf".to_string(), "bsd.rd".to_string()],
            "esxi" => vec![
                beside(&format!("01-{}/boot.cfg", mac.dashed())),
                beside("crypto64.efi"),
            ],
            other => panic!("what does the boot program of {other} ask for?"),
        };
        for name in asked {
            let by_http = name.contains("://");
            let name = if by_http {
                Name::Http(name)
            } else {
                Name::Tftp(name)
            };
            self.look_for(name, "the boot program");
        }
        Ok(())
    }

    /// What installers ask that no file told them to.
    fn installer_asks(&mut self) -> Result<(), RackError> {
        let mac = self.flagged.mac;
        let asks = |kind| Message::new(kind, mac).option(12, "installer");
        match self.flagged.profile.as_str() {
            "proxmox-ve" => {
                let told = self.lease(&asks)?;
                let url = told.text(250).expect("where to post");
                // as proxmox-fetch-answer posts it
                let said = format!(
                    "{{\"$schema\":{{\"version\":\"1.0\"}},\"product\":{{\"product\":\"pve\"}},\
                     \"network_interfaces\":[{{\"link\":\"eno1\",\"mac\":\"{mac}\"}}]}}"
                );
                let reply = self.machine.http(&url, Some(&said))?.must_be(200, &url)?;
                self.found_in(&reply.body, "answer.toml");
            }
            // what the rc.local of its image does
            "freebsd" => self.look_for(
                Name::Http(format!("http://{SERVER}/mine/install.sh")),
                "rc.local",
            ),
            "openbsd" => {
                let told = self.lease(&asks)?;
                assert_eq!(told.text(67), Some("auto_install".to_string()));
                let url = format!("http://{}/{mac}-install.conf?path=7.8/amd64", told.next);
                let reply = self.machine.http(&url, None)?.must_be(200, &url)?;
                self.found_in(&reply.body, "install.conf");
                // a location of sets is written in two lines
                let answers = reply.text();
                let of = |question: &'static str| {
                    let lines = answers
                        .lines()
                        .filter_map(move |l| l.strip_prefix(question));
                    lines.map(|l| l.trim_start_matches(" = "))
                };
                let places = of("HTTP Server").zip(of("Server directory"));
                let ours: Vec<String> = places
                    .filter(|(server, _)| *server == SERVER.to_string())
                    .map(|(server, folder)| format!("http://{server}/{folder}"))
                    .collect();
                assert!(!ours.is_empty(), "{answers}");
                for base in ours {
                    // it takes no set that the list has not
                    let url = format!("{base}/index.txt");
                    let list = self.machine.http(&url, None)?.must_be(200, &url)?.text();
                    for file in list.lines().filter_map(|line| line.rsplit(' ').next()) {
                        self.look_for(Name::Http(format!("{base}/{file}")), "the sets");
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn found_in(&mut self, bytes: &[u8], because: &str) {
        let found = names(bytes, self.flagged.mac, self.flagged.firmware);
        if let Some(certificate) = &found.certificate {
            self.machine.pin(certificate);
        }
        for found in found.names {
            self.look_for(found, because);
        }
    }

    fn chain(&mut self) -> Result<(), RackError> {
        let Flagged { firmware, mac, .. } = self.flagged;
        let asks = |kind| {
            Message::new(kind, *mac)
                .option(60, firmware.class)
                .option(93, [0, firmware.arch])
        };
        let rom = self.lease(&asks)?;
        match rom.text(67) {
            Some(loader) => self.advertised(&rom, &loader),
            // what is not on this host must not be advertised, and is not served either
            // Debian's signed GRUB has no HTTP: such firmware is left to go on to PXE
            None if firmware.word == "secure-http" => {}
            None => {
                assert_eq!(firmware.word, "arm64", "no loader\n{}", self.evidence());
                let name = LOADERS.iter().find(|l| l.contains("arm64")).expect("one");
                let fetched = self.machine.tftp(SERVER, name)?;
                assert!(matches!(fetched, Transfer::Refused { .. }), "{fetched:?}");
            }
        }
        // the loader's own requests, which nobody tells it to make
        let base = format!("http://{SERVER}");
        if firmware.secure_boot {
            let own = self.flagged.profile == shipped::WITH_PAIR;
            let told = rom.text(67);
            let is = told.as_deref().is_some_and(|file| file.contains("pair/"));
            assert_eq!(is, own, "{told:?} {}", self.evidence());
            if let Some((beside, _)) = told.as_deref().and_then(|f| f.rsplit_once('/')) {
                let own = format!("grub.cfg-01-{}", mac.dashed());
                for name in ["grubx64.efi", "grub.efi", "grub.cfg", &own] {
                    let name = format!("{beside}/{name}");
                    let by_http = name.contains("://");
                    let name = match by_http {
                        true => Name::Http(name),
                        false => Name::Tftp(name),
                    };
                    self.look_for(name, "the distro's own shim and GRUB");
                }
            }
            self.look_for(Name::Tftp("grubx64.efi".into()), "shim, by PXE");
            self.look_for(
                Name::Http(format!("{base}/loader/grubx64.efi")),
                "shim, by HTTP",
            );
            self.look_for(Name::Tftp("grub/grub.cfg".into()), "GRUB");
            for found in ["grub", "loader"] {
                let url = format!("{base}/{found}/grub.cfg");
                self.look_for(Name::Http(url), "GRUB, by HTTP");
            }
            let own = format!("grub/grub.cfg-01-{}", mac.dashed());
            self.look_for(Name::Http(format!("{base}/{own}")), "GRUB, by HTTP");
            self.look_for(Name::Tftp(own), "GRUB");
        } else {
            self.look_for(Name::Tftp("autoexec.ipxe".into()), "iPXE, by PXE");
            self.look_for(Name::Http(format!("{base}/autoexec.ipxe")), "iPXE");
            self.look_for(Name::Http(format!("{base}/loader/autoexec.ipxe")), "iPXE");
        }
        if firmware.word == "bios" {
            let own = format!("pxelinux.cfg/01-{}", mac.dashed());
            self.look_for(Name::Tftp(own), "PXELINUX");
        }
        let ipxe = self.lease(&|kind| asks(kind).option(77, "iPXE").option(175, [19, 1, 1]))?;
        let script = ipxe.text(67).expect("a script for iPXE");
        self.advertised(&ipxe, &script);
        Ok(())
    }

    fn follow(&mut self) -> Result<(), RackError> {
        while let Some((name, because)) = self.due.pop_front() {
            if self.ends(&name) && self.due.iter().any(|(due, _)| !self.ends(due)) {
                self.due.push_back((name, because));
            } else if self.seen.insert(name.clone()) {
                self.fetch(&name, &because)?;
            }
        }
        Ok(())
    }

    /// Whether its documents are closed from then on: a system in RAM reports once it has them all, and
    /// every installer at its end.
    fn ends(&self, name: &Name) -> bool {
        let Name::Http(url) = name else { return false };
        url.contains("/r/") && (!self.flagged.installs || url.contains("/end"))
    }

    fn lease(&self, asks: &dyn Fn(u8) -> Message) -> Result<Said, RackError> {
        let host = &self.machine.host;
        host.no_address()?;
        let asker = Asker::everyone(host)?;
        let offer = asker.ask(&asks(DISCOVER));
        let ack = asker.ask(&asks(REQUEST).wants(offer.given).to(SERVER));
        assert_eq!(ack.kind, ACK, "{}", self.evidence());
        assert_eq!(ack.text(67), offer.text(67), "the same in OFFER and ACK");
        host.address(&format!("{}/24", ack.given))?;
        Ok(ack)
    }

    /// A file that DHCP names: a URL, or a name on the server that options 66 and siaddr name.
    fn advertised(&mut self, by: &Said, file: &str) {
        if file.contains("://") {
            self.look_for(Name::Http(file.to_string()), "option 67");
        } else {
            assert_eq!(by.next, SERVER);
            assert_eq!(by.text(66), Some(SERVER.to_string()));
            self.look_for(Name::Tftp(file.to_string()), "option 67");
        }
    }

    fn look_for(&mut self, name: Name, because: &str) {
        self.due.push_back((name, because.to_string()));
    }

    fn fetch(&mut self, name: &Name, because: &str) -> Result<(), RackError> {
        let bytes = match name {
            Name::Tftp(path) => match self.machine.tftp(SERVER, path)? {
                Transfer::File(bytes) => bytes,
                other => panic!(
                    "{because} names `{path}` by TFTP, and it is not served: {other:?}\n{}",
                    self.evidence()
                ),
            },
            Name::Http(url) => match self.http(url, because)? {
                Some(bytes) => bytes,
                None => return Ok(()),
            },
        };
        self.found_in(&bytes, &format!("{name:?}, named by {because}"));
        Ok(())
    }

    /// Asks a URL as whoever reads it would; none where it is only the beginning of others.
    fn http(&mut self, url: &str, because: &str) -> Result<Option<Vec<u8>>, RackError> {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let Some(path) = rest.strip_prefix(&SERVER.to_string()) else {
            panic!("{because} names another server: {url}");
        };
        let path = path.split('?').next().unwrap_or(path);
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let (url, body) = match (parse_http(path), parts.as_slice()) {
            (Some(HttpPath::Report { verb, .. }), _) if verb == "status" => {
                (url.to_string(), Some(STATUS))
            }
            (Some(HttpPath::Report { token, .. }), _) => {
                if scheme == "http" {
                    self.report = Some(format!("http://{SERVER}/r/{token}"));
                }
                (url.to_string(), Some(""))
            }
            // what apk appends to a repository
            (Some(HttpPath::Tree { .. }), [.., "apks"]) => {
                (format!("{url}/x86_64/APKINDEX.tar.gz"), None)
            }
            (Some(_), _) => (url.to_string(), None),
            // what is appended to
            (None, ["", "r", _]) if scheme == "https" => (format!("{url}/handoff"), Some("")),
            (None, ["", "r", _]) => {
                self.report = Some(url.to_string());
                (format!("{url}/start"), Some(""))
            }
            (None, ["", "h", _]) => {
                self.handoff = Some(url.to_string());
                return Ok(None);
            }
            (None, ["", "mirror", _]) => (format!("{url}/dists/stable/Release"), None),
            (None, ["", "b", _]) => {
                let name = &self.flagged.name;
                let all = self.server.must(&["render", name, "-o", "name"])?;
                // boot scripts have URLs of their own, walked above; the command line is a part of them
                let scripts = ["boot.ipxe", "grub.cfg", "pxelinux.cfg", "cmdline"];
                for document in all.lines().filter(|d| !scripts.contains(d)) {
                    // A seed (`ds=nocloud`) is named with a slash at its end.
                    let document_url = format!("{}/{document}", url.trim_end_matches('/'));
                    if document == "bundle.sh" {
                        // the hand-off itself is no answer file: it goes by another door, once
                        self.machine
                            .http(&document_url, None)?
                            .must_be(404, &document_url)?;
                        continue;
                    }
                    self.look_for(Name::Http(document_url), "the list of documents");
                }
                return Ok(None);
            }
            (None, _) => panic!("{because} names {url}, which is no name of ours"),
        };
        let reply = self.machine.http(&url, body)?;
        assert_eq!(
            reply.status,
            200,
            "{because} names {url}: {}\n{}",
            reply.text(),
            self.evidence()
        );
        Ok(Some(reply.body))
    }

    /// The installation ends, and the first boot redeems the hand-off that the walk came upon.
    fn first_boot(&self) -> Result<(), RackError> {
        let (Some(report), Some(handoff)) = (&self.report, &self.handoff) else {
            panic!("no report or no hand-off in {:?}", self.seen);
        };
        let end = format!("{report}/end");
        self.machine.http(&end, Some(""))?.must_be(200, &end)?;
        self.machine
            .first_boot(handoff, "ok")?
            .must_be(200, handoff)?;
        Ok(())
    }

    fn evidence(&self) -> String {
        let name = &self.flagged.name;
        format!("{name}\n{}", self.server.evidence(name, None))
    }
}

/// A build that was flagged before a newer kernel was fetched still gets its own.
#[test]
fn a_pinned_kernel_outlives_a_newer_one() -> Result<(), RackError> {
    if !can_run("a pinned kernel", &NEEDS, false) {
        return Ok(());
    }
    use crate::rack::phantom::Told;
    use crate::rack::site::{PATIENT, serve_phantom};
    let rack = Rack::new()?;
    let server = serve_phantom(&rack, PATIENT)?;
    let machine = Phantom::new(&rack, "web01")?;
    server.must(&["add", "web01", &machine.mac().to_string(), "phantom"])?;
    server.must(&["rebuild", "web01", "--yes"])?;
    let kernel = server.site().join("boot/phantom/linux");
    std::fs::write(&kernel, "a newer kernel\n").map_err(RackError::file(&kernel))?;
    server.must(&["distro", "fetch", "phantom"])?;
    let Told::Script(script) = machine.boot()? else {
        panic!("not told to install: {}", server.evidence("web01", None));
    };
    let found: Vec<Name> = names(script.as_bytes(), machine.mac(), &FIRMWARE[0])
        .names
        .into_iter()
        .filter(|n| matches!(n, Name::Http(url) if url.ends_with("/phantom/linux")))
        .collect();
    let [Name::Http(url)] = found.as_slice() else {
        panic!("one kernel: {script}");
    };
    assert_eq!(
        machine.http(url, None)?.must_be(200, url)?.text(),
        "a kernel\n"
    );
    let name = url
        .strip_prefix(&format!("http://{SERVER}/"))
        .expect("ours");
    let by_tftp = machine.tftp(SERVER, name)?;
    assert_eq!(by_tftp, Transfer::File(b"a kernel\n".to_vec()));
    // the next build has the newer one
    server.must(&["cancel", "web01", "--yes"])?;
    server.must(&["rebuild", "web01", "--yes"])?;
    let Told::Script(script) = machine.boot()? else {
        panic!("not told to install: {}", server.evidence("web01", None));
    };
    assert!(!script.contains(url.as_str()), "{script}");
    machine.fetch_kernel(&script)
}

/// What the installers of Ubuntu send to their webhook.
const STATUS: &str = r#"{"name": "subiquity/Early/run", "description": "", "event_type": "start", "origin": "curtin", "timestamp": 1}"#;

/// A hardware address that no machine of a rack has.
pub(crate) fn mac(profile: usize, firmware: usize) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 2, profile as u8, firmware as u8])
}
