# Nodes come and go while the cluster runs: a fourth one is cloned from nothing under
# load and can be promoted, one is removed, and the failover after that goes by the new
# rule.  What stands where a new node shall be is refused untouched (F06, F31).
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use POSIX ();
use Test::More;

my $c = RegentCluster->new(nodes => 3, regent => { rebuild_rate => '20MB' });
$c->up;
my $d = $c->dir;

# A host for one more node: an empty place, a section in node.conf.
sub make_host
{
	my ($name, %change) = @_;
	$c->{nodes}{$name} = { name => $name, host => '127.0.0.1', dir => "$d/$name/data", log => "$d/$name/server.log",
		port => RegentCluster::free_port(), %change };
	mkdir "$d/$name";
	push @{ $c->{names} }, $name;
	$c->write_node_conf;
	return ('--host', '127.0.0.1', '--port', $c->node($name)->{port}, '--ssh-port', $c->{ssh_port});
}

sub node_add
{
	my ($rc, $out, $err) = $c->regent('node', 'add', @_);
	return ($rc, "$out$err");
}

sub fingerprint
{
	my ($dir) = @_;
	return `cd '$dir' && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum`;
}

# ---- add ----

my @n4 = make_host('n4');
my $conf = slurp($c->{conf});
my ($rc, $text) = node_add('n4');
is($rc, 1, 'a node without a section');
like($text, qr/has no section \[node n4\].*--host ADDRESS/s, 'the fix is named');
($rc, $text) = node_add('n4', @n4, '--dry-run');
is($rc, 0, '--dry-run') or diag($text);
like($text, qr/^\[node n4\]\nhost = 127.0.0.1\n/m, 'shows the section');
is(slurp($c->{conf}), $conf, 'and writes nothing');

my $other = $c->node('n4')->{dir};
mkdir $other;
spew("$other/precious", "do not touch\n");
($rc, $text) = node_add('n4', @n4);
is($rc, 1, 'a directory that is not empty');
like($text, qr/not_empty: .*is not empty, and no data directory/, 'is refused, with the reason') or diag($c->regentd_log_tail);
is(slurp("$other/precious"), "do not touch\n", 'untouched');
unlike(join(' ', glob("$d/n4/*")), qr/regent-new/, 'nothing is left beside it');
unlink "$other/precious";

RegentCluster::must([ "$RegentCluster::bindir/initdb", '-N', '-A', 'trust', '-U', 'postgres', '-D', $other, '--no-instructions' ]);
my $print = fingerprint($other);
($rc, $text) = node_add('n4');
is($rc, 1, "another cluster's directory");
like($text, qr/other_system: it holds another cluster's data: system identifier/, 'is refused, with the reason');
is(fingerprint($other), $print, 'untouched');
RegentCluster::run_command([ 'rm', '-rf', $other ]);

my $load = $c->start_load;
my $watcher = fork() // die "can't fork: $!";
if ($watcher == 0)
{
	# pg_basebackup of n4 with its words, as long as it runs
	eval { wait_until(sub { grep { /pg_basebackup --max-rate=20480 .*\Q$other\E\.regent-new/ } `ps -eo args` }, 60, 'pg_basebackup') };
	POSIX::_exit($@ ? 1 : 0);
}
($rc, $text) = node_add('n4');
is(RegentCluster::reap($watcher, 5), 0, 'its base backup keeps to rebuild_rate');
is($rc, 0, 'a fourth node, cloned from nothing, under load') or diag($text . $c->regentd_log_tail);
# its phases: one that takes less than a second has no percent
like($text, qr/^n4: clone/m, 'with its progress') or diag($text);
like($text, qr/votes by rule 1\./, 'it votes in the end');
like(slurp($c->{conf}), qr/\A\Q$conf\E\n\[node n4\]\n/, 'the file was appended to, and nothing else');
my $s = $c->wait_node('n4', 'ok');
ok(RegentCluster::node_of($s, 'n4')->{voter}, 'status: it votes');
is($c->sql('n1', 'SELECT voters FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), '{n1,n2,n3,n4}', 'the rule says so');
is($c->sql('n4', 'SHOW regent.node_name'), 'n4', 'it has its own name');
ok(!-e "$other.regent-new" && !-e "$other.regent-clone", 'nothing is left beside its directory');
($rc, $text) = node_add('n4');
is($rc, 1, 'added twice');
like($text, qr/n4 votes already/, 'is refused, with the reason');
$c->wait_status(sub { RegentCluster::node_of($_[0], 'n4')->{candidate}{reason} =~ /as advanced as|most advanced/ }, 30, 'n4 to be a candidate');
($rc, my $out, my $err) = $c->regent('switchover', 'n4');
is($rc, 0, 'it can be promoted') or diag("$out$err" . $c->regentd_log_tail);
$c->wait_node($_, 'ok') for qw(n1 n2 n3);
my $sum = $c->stop_load($load);
$c->wait_caught_up('n4', 'n1', 'n2', 'n3');
is($c->missing_rows($_, $sum->{ids}), 0, "no acknowledged row is missing on $_") for qw(n1 n4);

# ---- remove ----

($rc, $out, $err) = $c->regent('node', 'remove', 'n4');
is($rc, 1, 'the leader is not removed');
like($out . $err, qr/n4 leads the cluster: regent switchover first/, 'and what to do is said');
($rc, $out, $err) = $c->regent('node', 'remove', 'n2', '--lost', '--yes');
is($rc, 1, 'a node that answers is not lost');
($rc, $out, $err) = $c->regent('node', 'remove', 'n2');
is($rc, 0, 'a standby is removed') or diag("$out$err" . $c->regentd_log_tail);
unlike(slurp($c->{conf}), qr/\[node n2\]/, 'its section is gone');
is($c->sql('n4', 'SELECT voters FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), '{n1,n3,n4}', 'it is no voter any more');
wait_until(sub { !grep { $c->sql($_, "SELECT 1 FROM pg_replication_slots WHERE slot_name = 'regent_n2'") } qw(n1 n3 n4) },
	60 * $RegentCluster::slow, 'its slots to be dropped everywhere');
is($c->sql('n2', 'SHOW primary_conninfo'), '', 'it was told: it follows nobody');
$s = $c->wait_status(sub { @{ $_[0]{nodes} } == 3 && $_[0]{auto_failover}{ready} }, 30, 'three nodes, ready');

$conf = slurp($c->{conf});
spew($c->{conf}, "$conf\n[node n7]\nhost = 127.0.0.1\nport = 1\n");
like(($c->regent('check'))[1], qr/n7\b.*it has no vote.*regent node add n7/s, 'regent check names a node without a vote');
(my $without = $conf) =~ s/\[node n3\][^[]*//;
spew($c->{conf}, $without);
like(($c->regent('check'))[1], qr/n3\b.*votes by the rule in force, but has no section/s, 'and a vote without a section');
spew($c->{conf}, $conf);

# removed, and started again by hand: it reads only, and nobody counts on it
$c->stop_server('n2');
$c->start_server('n2');
is($c->sql('n2', 'SELECT pg_is_in_recovery()'), 't', 'started by hand it is a standby');
is($c->sql('n2', "SELECT gate FROM regent.node_status()"), 'closed', 'its gate is closed');

# the failover after that goes by the new rule: one of two standbys is enough
$c->kill_server('n4');
$s = $c->wait_failover('n4');
like($s->{leader}, qr/^n[13]$/, "$s->{leader} leads by the new rule");
$c->wait_node('n4', 'ok');
$c->sql($s->{leader}, 'CREATE TABLE after_all AS SELECT 1 AS i');
$c->wait_caught_up($s->{leader}, grep { $_ ne $s->{leader} } qw(n1 n3 n4));
is($c->sql('n2', "SELECT to_regclass('after_all')"), '', 'the removed node gets nothing');

# and it is taken back: what it has is refused by the clone, so a rebuild brings it
$c->stop_server('n2');
($rc, $text) = node_add('n2', '--host', '127.0.0.1', '--port', $c->node('n2')->{port}, '--ssh-port', $c->{ssh_port});
is($rc, 1, 'a directory of this cluster is not overwritten by a clone');
like($text, qr/of this very cluster already.*regent rebuild n2/, 'the way back is named');
($rc, $out, $err) = $c->regent('rebuild', 'n2', '--wait');
is($rc, 0, 'the rebuild') or diag("$out$err" . $c->regentd_log_tail);
($rc, $text) = node_add('n2');
is($rc, 0, 'and the vote') or diag($text . $c->regentd_log_tail);
is(join(' ', sort split /[{},]/, $c->sql($s->{leader}, 'SELECT voters FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1')), ' n1 n2 n3 n4',
	'it belongs to the cluster again');
$c->wait_caught_up($s->{leader}, 'n2');
is($c->sql('n2', "SELECT to_regclass('after_all')"), 'after_all', 'with all rows');
done_testing();
