//! iPXE scripts (<https://ipxe.org/scripting>).
//!
//! iPXE knows no quoting: a line is split at white space, `${..}` is expanded, a word that begins
//! with `#` starts a comment, the words `&&`, `||` and `;` end a command, and a backslash at the end
//! of a line joins it to the next (`src/core/exec.c`, `src/image/script.c`). Everything else is
//! passed on as it is, quotes included.

use super::{Reason, Script, Unwritable, headline, script as choose, text};
use crate::boot::paths::Urls;
use crate::model::{BootPlan, Content, Decision, MacAddr, Module, PlannedFile, Start};

const LOADER: &str = "iPXE";

/// Boot scripts asked for, by one boot of one machine, before it gives up.
const TRIES: u32 = 5;
/// Seconds between two tries.
const PAUSE: u32 = 5;

/// The script of one machine.
pub fn script(decision: &Decision, urls: &Urls, mac: MacAddr) -> Script {
    choose(
        decision,
        &mac.to_string(),
        |plan| boot(decision, plan, urls, mac),
        own_disk,
    )
}

/// The script of a machine that boots its own disk: the reason, what to type, at most three seconds
/// to read it.
pub fn own_disk(reason: &Reason) -> String {
    let mut out = String::from("#!ipxe\necho\n");
    for line in text::own_disk_lines(reason) {
        out.push_str(&format!("echo {line}\n"));
    }
    out.push_str("sleep 3\n");
    out.push_str(OWN_DISK);
    out
}

/// How iPXE is left for the machine's own disk.
///
/// UEFI: `exit 1`. A boot option that returns success makes EDK2 stop and open its boot manager
/// menu (UEFI specification 3.1.1); one that fails makes it go on with its boot order, where the
/// disk is. Seen with OVMF and iPXE's `snponly.efi`: after `exit 0` the firmware's setup screen
/// waits for a key, after `exit 1` the next boot option starts.
///
/// BIOS: the first disk is started at once (`sanboot`, INT 13h drive 0x80), because not every ROM
/// comes back alive from a network boot program that returns; without one, iPXE returns to the BIOS.
///
/// `farrier-answered` tells `autoexec.ipxe`, if that is what chained here, not to ask again.
const OWN_DISK: &str = "\
set farrier-answered 1
iseq ${platform} efi && exit 1 ||
sanboot --no-describe --drive 0x80 ||
exit 0
";

fn boot(
    decision: &Decision,
    plan: &BootPlan,
    urls: &Urls,
    mac: MacAddr,
) -> Result<String, Unwritable> {
    let way = &plan.way;
    if way.start == Start::Own {
        let what = way.start.word();
        return Err(Unwritable::Start {
            loader: LOADER,
            what,
        });
    }
    let name = |file: &PlannedFile| text::path(&file.id.name, LOADER);
    let (names, loads) = rest(plan, urls)?;
    let named = plan.cmdline.split(' ').any(|w| w.starts_with("initrd="));
    let mut words = Vec::new();
    if way.start == Start::Linux && !named {
        // An EFI stub without LoadFile2 (before Linux 5.8) finds its initrd by this word only.
        words.extend(names.iter().map(|name| format!("initrd={name}")));
    }
    words.extend(cmdline(&plan.cmdline)?);
    let mut out = format!(
        "#!ipxe\n# {}, build {}, profile {}\necho\necho {}\n",
        plan.build.system,
        plan.build.epoch,
        plan.profile,
        headline(decision, plan)
    );
    // iPXE 2.0 would hand its own `autoexec.ipxe` to the kernel as one more initrd (ipxe#1723).
    out.push_str("isset ${farrier-tries} || set farrier-tries:int32 0\n");
    out.push_str("iseq ${platform} efi && imgfree autoexec.ipxe ||\n");
    out.push_str(&format!(
        "kernel --name {} {}{}{} || goto failed\n",
        name(&plan.kernel)?,
        text::path(
            &urls.artefact_at(&plan.kernel, way.kernel_path.as_deref()),
            LOADER
        )?,
        if words.is_empty() { "" } else { " " },
        words.join(" ")
    ));
    out.push_str(&loads);
    let again = urls.ipxe(mac);
    let system = &plan.build.system;
    out.push_str(&format!(
        "boot || goto failed

:failed
inc farrier-tries
iseq ${{farrier-tries}} {TRIES} && goto gave-up ||
echo Farrier: that did not work, asking again in {PAUSE} seconds (${{farrier-tries}} of {TRIES})
sleep {PAUSE}
imgfree
chain --autofree --replace {again} || goto failed

:gave-up
echo Farrier: gave up. On the server, type: farrier why {system}
sleep 3
{OWN_DISK}"
    ));
    Ok(out)
}

/// What is loaded after the kernel: iPXE's names, and the lines.
fn rest(plan: &BootPlan, urls: &Urls) -> Result<(Vec<String>, String), Unwritable> {
    let start = plan.way.start;
    let count = plan.initrds.len() + plan.way.modules.len();
    let (mut names, mut lines) = (Vec::new(), String::new());
    let initrds = plan.initrds.iter().map(|file| {
        let name = text::path(&file.id.name, LOADER)?;
        let url = text::path(&urls.artefact(file), LOADER)?;
        let line = format!("initrd --name {name} {url} || goto failed\n");
        Ok((name, Some(file.size), line))
    });
    let modules = plan.way.modules.iter().map(|module| {
        let size = match &module.content {
            Content::File(file) => Some(file.size),
            Content::Document { .. } => None,
        };
        let name = text::path(&module.name, LOADER)?;
        Ok((name, size, line_of(module, start, urls)?))
    });
    for (n, one) in initrds.chain(modules).enumerate() {
        let (name, size, line) = one?;
        names.push(name);
        lines.push_str(&line);
        let missing = size.map_or(0, missing);
        if start == Start::Linux && n + 1 < count && missing > 0 {
            let name = format!("farrier-zeros-{n}");
            let url = urls.zeros(missing);
            lines.push_str(&format!("initrd --name {name} {url} || goto failed\n"));
            names.push(name);
        }
    }
    Ok((names, lines))
}

/// The zero bytes that must follow an initrd of this size so that the next is not lost. Linux takes an archive
/// for one only where its offset is a multiple of four (`init/initramfs.c`), and between two archives it
/// skips zeros. iPXE fills up to there, but an EFI stub that reads them one by one (`initrd=`, for want of
/// LoadFile2 in either) lays them end to end. Seen with Debian 13's kernel and Debian 12's iPXE, of 2019.
/// Documents are archives of files, whose sizes are multiples of four already.
fn missing(size: u64) -> u8 {
    (size.wrapping_neg() % 4) as u8
}

/// The line that loads one module. For a multiboot kernel its arguments follow its URL; wimboot finds
/// it by name: on BIOS the argument, on UEFI iPXE's own name for it.
fn line_of(module: &Module<Content>, start: Start, urls: &Urls) -> Result<String, Unwritable> {
    let name = text::path(&module.name, LOADER)?;
    let path = module.path.as_deref();
    let url = text::path(&text::content_url(urls, &module.content, path), LOADER)?;
    let (command, arguments) = match start {
        Start::Multiboot => ("module", cmdline(&module.arguments)?),
        Start::Wimboot => ("initrd", vec![name.clone()]),
        Start::Linux | Start::Efi | Start::Own => ("initrd", Vec::new()),
    };
    let mut words = vec![format!("{command} --name {name} {url}")];
    words.extend(arguments);
    Ok(format!("{} || goto failed\n", words.join(" ")))
}

fn cmdline(line: &str) -> Result<Vec<String>, Unwritable> {
    text::cmdline(line, LOADER)?;
    let refused = |found: &str| text::bad_cmdline(found, LOADER);
    if line.contains("${") {
        return Err(refused("${"));
    }
    if line.trim_end().ends_with('\\') {
        return Err(refused("\\"));
    }
    let words = line.split(' ').filter(|w| !w.is_empty());
    words
        .map(|word| match word {
            "&&" | "||" | ";" => Err(refused(word)),
            word if word.starts_with('#') => Err(refused(word)),
            word => Ok(word.to_string()),
        })
        .collect()
}

/// Asks again with what only iPXE knows: whether it runs on BIOS or UEFI, and on which processor.
/// Served where that decides which kernel is sent.
pub fn ask_platform(urls: &Urls, mac: MacAddr) -> String {
    format!(
        "#!ipxe\nchain --autofree --replace {}?platform=${{platform}}&arch=${{buildarch}}\n",
        urls.ipxe(mac)
    )
}

/// `autoexec.ipxe`: the same for every machine. iPXE runs it from the place it was loaded from; it
/// goes through the interfaces, asks with the address of each, and comes round again while a slow
/// switch port (spanning tree) still blocks.
pub fn autoexec(urls: &Urls) -> String {
    let base = urls.base();
    let server = urls.server.ip();
    format!(
        "#!ipxe
echo
echo Farrier: asking {server} what to boot
set farrier-round:int32 1
:round
set farrier-nic:int32 0
:nic
isset ${{net${{farrier-nic}}/mac}} || goto slept
isset ${{net${{farrier-nic}}/ip}} || dhcp net${{farrier-nic}} || goto next
chain --autofree {base}/ipxe/${{net${{farrier-nic}}/mac:hexhyp}}?platform=${{platform}}&arch=${{buildarch}} ||
isset ${{farrier-answered}} && exit 1 ||
:next
inc farrier-nic
goto nic
:slept
iseq ${{farrier-round}} {TRIES} && goto gave-up ||
echo Farrier: no interface reached {server}, trying again in {PAUSE} seconds (${{farrier-round}} of {TRIES})
inc farrier-round
sleep {PAUSE}
goto round

:gave-up
echo Farrier: {server} does not answer for any interface of this machine, so it boots its own disk
sleep 3
{OWN_DISK}"
    )
}
