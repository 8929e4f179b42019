// Puts the network before Windows in the firmware's boot order, so that the machine goes on asking its
// server at each start. bcdedit's labels are in the language of the system, its identifiers are not.
var shell = new ActiveXObject("WScript.Shell");
var files = new ActiveXObject("Scripting.FileSystemObject");

function edit(words) {
    return shell.Run("cmd.exe /c bcdedit.exe " + words, 0, true);
}

edit("/enum firmware >firmware.txt");
var file = files.OpenTextFile("firmware.txt", 1);
var entries = file.ReadAll().split(/\r?\n\s*\r?\n/);
file.Close();

var order = "";
var network = [];
for (var e = 0; e < entries.length; e++) {
    // the first identifier is the entry's own
    var own = /\{[^}]*\}/.exec(entries[e]);
    if (!own) {
        continue;
    }
    if (own[0] === "{fwbootmgr}") {
        order = entries[e];
    } else if (/^\{[0-9a-f-]{36}\}$/i.test(own[0]) && /\b(PXE\w*|HTTPv?\w*|IPv?[46]|Network|Ethernet|LAN|LOM|NIC|GbE)\b/i.test(entries[e])) {
        network.push(own[0]);
    }
}
// as they stand in the order; what is not in it comes last
network.sort(function (a, b) {
    var at = order.indexOf(a);
    var other = order.indexOf(b);
    return (at < 0 ? order.length : at) - (other < 0 ? order.length : other);
});
if (!network.length) {
    // whatever came before Windows then is not this server either
    WScript.Echo("the firmware names no entry of the network: the boot order stays, and Windows comes first");
    WScript.Quit(0);
}
// Windows second
var failed = edit("/set {fwbootmgr} displayorder {bootmgr} /addfirst");
for (var n = network.length - 1; n >= 0; n--) {
    failed = edit("/set {fwbootmgr} displayorder " + network[n] + " /addfirst") || failed;
}
WScript.Echo("the boot order begins with " + network.join(" "));
WScript.Quit(failed ? 1 : 0);
