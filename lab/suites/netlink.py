"""The netlink emitter's own tests (tests/netlink_lab.rs) on hand-made programs: every key and action, failures in the middle,
devices that join and leave. (Kernels without a module are in the refusals suite.)
"""
import subprocess

from suite import Settings, case


@case("tests/netlink_lab.rs", timeout=900)
def own_tests():
    # cargo leaves older builds beside the newest
    built = [path for path in Settings.repo.glob("target/debug/deps/netlink_lab-*") if not path.suffix]
    assert built, "build it first: cargo test --locked --no-run --test netlink_lab"
    newest = max(built, key=lambda path: path.stat().st_mtime)
    done = subprocess.run([newest, "--ignored", "--test-threads=1", "--skip", "a_hundred_thousand_filters"], capture_output=True, text=True)
    print("\n".join("     " + line for line in done.stdout.splitlines() if line.startswith("test ")), flush=True)
    assert done.returncode == 0 and " 0 passed" not in done.stdout, done.stdout + done.stderr
