//! Odd layouts: every comment is kept, and the canonical layout is its own.

use super::print::stays;

const ODD: &[&str] = &[
    "# top\npolicy p on eth0 ingress { # open\n    # first\n    allow tcp # c1\n    # second\n    allow udp; # c2\n    default drop # c3\n    # tail\n} # close\n# end",
    "group g { allow tcp } # c\npolicy p on eth0 ingress { use g; default drop } # d\n",
    "policy p on eth0 ingress # a\n# b\n\n# c\n{ # d\n default drop } # e",
    "policy p on { eth0, # a\n eth1 # b\n # c\n } ingress { # d\n default drop } # e\n",
    "policy p on eth0 ingress {\r\n  allow tcp # a\r\n  default drop\r\n}\r\n# b\r\n",
    "policy p on eth0 ingress {\n\tallow\ttcp\tto\tport\t80\t# a\n\n\n\n\tdefault drop\n}",
    "net x={10.0.0.0/8,not 10.1.0.0/16,{1.1.1.1,2.2.2.2}}#a\npolicy p on eth0 ingress{allow from x;default drop}#b",
    "policy p on eth0 ingress {\n allow tcp to port 80, # a\n limit 10mbit, # b\n mirror to eth1 # c\n default drop }\n",
    "policy p on eth0 ingress {\n @owner x # a\n @note \"hi # not a comment\" # b\n # c\n allow tcp # d\n default drop\n}\n",
    "policy p on eth0 ingress {\n prefilter { # a\n drop fragment any # b\n } # c\n # d\n default drop\n # e\n }\n",
    "policy p on eth0 ingress {\n prefilter\n {\n drop fragment any } default drop }\n",
    "\n\n\n# a\n\n\n# b\npolicy p on eth0 ingress { # c\n\n\n default drop\n\n\n # d\n\n} \n\n\n# e\n\n\n",
    "policy p on eth0 ingress { default drop } # a # b # c\n",
    "policy p on eth0 ingress { # \n default drop } #\n#\n",
    "policy p on eth0 ingress { allow from { # a\n } ; default drop }\n",
    "policy p on eth0 ingress { allow from { 10.0.0.1 # a\n, # b\n 10.0.0.2 # c\n, 10.0.0.3 # d\n } to { 1.1.1.1 # e\n } # f\n default drop # g\n } # h\n",
    "interface a = eth0 # 1\nzone bb = 7 # 2\nnet ccc = 10.0.0.0/8 # 3\n# 4\nport d = 80\npolicy p on a ingress zone bb { allow from ccc tcp to port d; default drop }",
    "policy p on eth0 ingress {\n allow tcp ; ; ; # a\n ;default drop;}; # b\n",
    "group a { } # 1\ngroup b { # 2\n} # 3\ngroup c {\n# 4\n} # 5\npolicy p on eth0 ingress { use a; use b; use c; default drop }",
    "policy p on eth0 ingress { allow tcp } # x\npolicy q on eth1 ingress { default drop }",
    "policy p on eth0 ingress { allow icmp type { 3, # a\n 4 } code { 0, 1 # b\n } # c\n default drop }",
    "policy p on eth0 ingress { allow from { 10.0.0.1, # α ü\n 10.0.0.2 } # 日本\n default drop }",
    "policy p on eth0 ingress { # a\n prefilter { } # b\n default drop } # c\n",
];

/// The comments of a text, sorted; none of the texts here has a `#` in a string but one.
fn comments(text: &str) -> Vec<String> {
    let text = text.replace("\"hi # not a comment\"", "\"\"");
    let mut found: Vec<String> =
        text.lines().filter_map(|line| Some(line.get(line.find('#')?..)?.trim_end().to_owned())).collect();
    found.sort();
    found
}

#[test]
fn odd_layouts_keep_their_comments() {
    for text in ODD {
        assert_eq!(comments(&stays(text)), comments(text), "{text}");
    }
}

#[test]
fn very_long_sets_are_laid_out() {
    let items: Vec<String> = (0..5_000).map(|at| format!("10.{}.{}.0/24", at / 250, at % 250)).collect();
    let text = format!("net x = {{ {} }}  # long\n", items.join(", "));
    let laid = stays(&text);
    assert!(laid.lines().count() == 5_002 && laid.ends_with("}  # long\n"), "{}", laid.lines().count());
}
