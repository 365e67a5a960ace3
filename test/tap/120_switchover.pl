# Switchover: under load no acknowledged commit is lost and the old primary comes
# back as a standby without rewind or copy; refused with the reason where it could
# not succeed; killed at any point (regentd, leader, target) it ends with one
# writable node that has all rows.  In sync: every acknowledged commit must survive.
use strict;
use warnings;
use RegentCluster qw(wait_until spew slurp);
use Test::More;
use Time::HiRes qw(time sleep);

my $c = RegentCluster->new(nodes => 3, regent => { durability => 'sync', quorum => 1, lease => '2s' },
	node_regent => { n3 => { priority => 50 } });
$c->up;
my $d = $c->dir;
RegentCluster::must([ "$RegentCluster::bindir/pgbench", '-i', '-q', '-s', 1, $c->conninfo('n1') ], timeout => 120);

# A standby that somebody killed stays down until somebody starts it; whoever was killed
# a moment ago may not be told as dead yet.
sub start_dead
{
	$c->wait_status(sub {
		my ($s) = @_;
		return 0 if $s->{phase} ne 'steady';
		for my $n (grep { $_->{state} eq 'dead' && $_->{name} ne $s->{leader} } @{ $s->{nodes} })
		{
			$c->start_server($n->{name}) unless $c->postmaster($n->{name});
		}
		return !grep { $_->{state} ne 'ok' } @{ $s->{nodes} };
	}, 150 * $RegentCluster::slow, 'the switchover to end, and all to be well');
}

sub start_pgbench
{
	my ($node) = @_;
	my $pid = $c->spawn([ "$RegentCluster::bindir/pgbench", '-n', '-c', 4, '-T', 600, $c->conninfo($node) ], "$d/pgbench.log");
	$c->{pids}{pgbench} = $pid;
	return $pid;
}

sub stop_pgbench
{
	my ($pid) = @_;
	kill 'TERM', $pid;
	RegentCluster::reap($pid, 20);
	delete $c->{pids}{pgbench};
}

# ---- refusals: with the reason, and nothing is changed ----

sub refused_like
{
	my ($pattern, $what, @args) = @_;
	my ($rc, $out, $err) = $c->regent('switchover', @args);
	is($rc, 1, "$what: refused");
	like($out . $err, $pattern, "$what: with the reason");
}

refused_like(qr/no node "n9"/, 'unknown node', 'n9');
refused_like(qr/n1 leads already/, 'the leader itself', 'n1');
$c->stop_server('n2');
$c->wait_node('n2', 'dead');
refused_like(qr/n2 is no standby that answers/, 'a dead standby', 'n2');
$c->start_server('n2');
$c->wait_node('n2', 'ok');
$c->sql('n2', 'SELECT pg_wal_replay_pause()');
$c->wait_status(sub { my ($rc, $out, $err) = $c->regent('switchover', 'n2', '--dry-run'); $rc == 1 && $err =~ /paused/ }, 20, 'the pause to be noticed');
refused_like(qr/replay on n2 is paused/, 'a standby that does not replay', 'n2');
$c->sql('n2', 'SELECT pg_wal_replay_resume()');
my ($rc, $out, $err) = $c->regent('switchover', '--no-such-option');
is($rc, 2, 'an unknown option is a usage error');

wait_fit('n2');
($rc, $out) = $c->regent('switchover', '--dry-run');
is($rc, 0, 'a dry run');
like($out, qr/from n1 to n2 could begin now/, 'names the target that priority chooses');
is($c->status->{term}, 1, 'and changes nothing');

# ---- what a reload may change, and what it may not ----

my $good = slurp($c->{conf});

sub reload_with
{
	my ($key, $value) = @_;
	(my $text = $good) =~ s/^$key = .*/$key = $value/m;
	spew($c->{conf}, $text, 0600);
	kill 'HUP', $c->{regentd};
}

reload_with('quorum', 2);
$c->wait_event('config_reloaded', 20);
is($c->status->{quorum}, 1, 'another quorum in the file does not count: the rule does, and regent set changes it');
for my $lease (4, 2)
{
	reload_with('lease', "${lease}s");
	my $s = $c->wait_status(sub { $_[0]{lease_ms} == 1000 * $lease }, 20, "the lease of $lease s in the rule");
	is("$s->{leader} $s->{term}", 'n1 1', "lease = ${lease}s by reload: a rule of the same term says so");
	wait_until(sub { $c->sql('n1', "SELECT gate = 'open' AND lease_left_ms BETWEEN 1 AND 1000 * $lease FROM regent.node_status()") eq 't' }, 20, 'the lease to be in force');
}
ok((grep { $_->{event} eq 'rule_changed' } $c->events), 'event rule_changed');
spew($c->{conf}, $good, 0600);
$c->wait_ready;

# ---- under load, to every node in turn ----

my $leader = 'n1';
my @gaps;
for my $target (qw(n2 n3 n1))
{
	my $bench = start_pgbench($leader);
	my $load = $c->start_load(primary => $leader);
	my $before = $c->sql($leader, 'SELECT count(*) FROM regent_load');
	wait_until(sub { $c->sql($leader, 'SELECT count(*) FROM regent_load') > $before + 100 }, 20, 'some load');
	($rc, $out, $err) = $c->regent('switchover', $target);
	is($rc, 0, "switchover from $leader to $target under load") or diag($out . $err . $c->regentd_log_tail);
	like($out, qr/$target leads in term \d+; writes stopped for \d+ ms/, 'the command says so');
	my $s = $c->wait_whole('the old primary to be a standby');
	is($s->{leader}, $target, "$target leads");
	ok($s->{last_switchover}{ok}, 'status keeps the switchover');
	is("$s->{last_switchover}{from} $s->{last_switchover}{to}", "$leader $target", 'with from and to');
	my $after = $c->sql($target, 'SELECT count(*) FROM regent_load');
	wait_until(sub { $c->sql($target, 'SELECT count(*) FROM regent_load') > $after + 20 }, 20, 'the load to go on');
	stop_pgbench($bench);
	my $sum = $c->stop_load($load);
	push @gaps, $sum->{outage_ms};
	$c->wait_caught_up($target, grep { $_ ne $target } $c->names);
	is($c->missing_rows($_, $sum->{ids}), 0, "$_ has every acknowledged row") for $c->names;
	cmp_ok(scalar @{ $sum->{ids} }, '>', 100, 'the load was real: ' . @{ $sum->{ids} } . ' commits');
	ok(!-d $c->node($leader)->{dir} . '.regent-old', "$leader was not copied");
	$c->sql($target, 'TRUNCATE regent_load');
	$leader = $target;
}
diag('gaps as the client saw them: ' . join(', ', map { sprintf '%.0f ms', $_ } @gaps));
cmp_ok($_, '<', 5000 * $RegentCluster::slow, 'the gap is short') for @gaps;
unlike(slurp("$d/regentd.log"), qr/rebuild_begin/, 'no old primary needed a copy');
for my $event (qw(switchover_begin switchover_end))
{
	ok((grep { $_->{event} eq $event } $c->events), "event $event");
}

# ---- asked for in SQL, on a standby ----

my $id = $c->sql('n2', "SELECT regent.switchover('n2')");
like($id, qr/^\d+$/, "SELECT regent.switchover('n2') returns job $id");
$c->wait_status(sub { $_[0]{leader} eq 'n2' }, 60, 'n2 to lead');
$c->wait_whole('the switchover that was asked for in SQL');
wait_until(sub { ($c->sql('n2', "SELECT state FROM regent.jobs() WHERE id = $id", may_fail => 1) // '') eq 'done' }, 30, 'regent.jobs() to say done');
pass('regent.jobs() says done');
is($c->sql('n1', "SELECT regent.switchover('n2')", may_fail => 1), undef, 'to the leader: refused in SQL at once');
like($c->{sql_error}, qr/is the leader already/, 'with the reason');
$c->sql('n3', 'SELECT pg_wal_replay_pause()');
$c->wait_status(sub { ($c->regent('switchover', 'n3', '--dry-run'))[0] == 1 }, 20, 'the pause to be noticed');
$id = $c->sql('n1', "SELECT regent.switchover('n3')");
wait_until(sub { ($c->sql('n1', "SELECT state FROM regent.jobs() WHERE id = $id", may_fail => 1) // '') eq 'failed' }, 30, 'the refusal to be told');
like($c->sql('n1', "SELECT message FROM regent.jobs() WHERE id = $id"), qr/replay on n3 is paused/, 'one that regentd refuses says why in regent.jobs()');
$c->sql('n3', 'SELECT pg_wal_replay_resume()');

# ---- killed in the middle ----

my $rows = 0;
$leader = $c->wait_whole->{leader};
$c->sql($leader, 'CREATE TABLE t (id serial PRIMARY KEY, what text UNIQUE)');

# A switchover to this node (or any) would be taken now.
sub wait_fit
{
	my (@target) = @_;
	my @last;
	wait_until(sub { @last = $c->regent('switchover', @target, '--dry-run'); $last[0] == 0 }, 30, 'a switchover to be possible', sub { $last[2] });
}

# One writable node, every row on every node, one rule per term.
sub is_whole
{
	my ($what) = @_;
	my $s = $c->wait_whole("$what: a whole cluster");
	$leader = $s->{leader};
	my @primaries = grep { $c->sql($_, 'SELECT pg_is_in_recovery()') eq 'f' } $c->names;
	is("@primaries", $leader, "$what: one primary, $leader, term $s->{term}");
	wait_until(sub { defined $c->sql($leader, "INSERT INTO t (what) VALUES ('$what') ON CONFLICT DO NOTHING", may_fail => 1) }, 20, "$leader to take writes");
	$rows++;
	my $count = $c->sql($leader, "SELECT count(*) FROM t");
	is($count, $rows, "$what: all rows are there");
	$c->wait_caught_up($leader, grep { $_ ne $leader } $c->names);
	is($c->sql($_, 'SELECT count(*) FROM t'), $rows, "$what: $_ has them") for grep { $_ ne $leader } $c->names;
	$c->wait_ready;
}

is_whole('before');

# regentd, right before and right after each of its decisions is on disk
my $preload = "$RegentCluster::top/test/bench/build/crash_at_sync.so";
my $reached = 0;
$c->stop_regentd;
for my $n (1 .. 8)
{
	my $when = $n % 2 ? 'before' : 'after';
	my $armed = "$d/armed$n";
	$c->start_regentd(env => { LD_PRELOAD => $preload, CRASH_AT_SYNC => $n, CRASH_WHEN => $when, CRASH_ARMED => $armed });
	$c->wait_ready(60);
	wait_fit();
	spew($armed, '');
	$c->regent('switchover', '--no-wait');
	my $died = eval { wait_until(sub { $c->regentd_has_ended || (($c->status || {})->{leader} // $leader) ne $leader }, 30, 'an end'); 1 }
		&& $c->regentd_has_ended;
	$reached++ if $died;
	$c->kill9_regentd;
	unlink $armed;
	$c->start_regentd;
	is_whole("regentd killed $when journal write $n" . ($died ? '' : ' (not reached)'));
	$c->stop_regentd;
}
cmp_ok($reached, '>=', 5, "regentd died at $reached seams of a switchover");
$c->start_regentd;
$c->wait_ready;

# the leader, or the target, at moments spread over the switchover
for my $who (qw(leader target))
{
	for my $delay (0, 0.05, 0.15, 0.4)
	{
		my ($target) = grep { $_ ne $leader } qw(n1 n2);
		my $victim = $who eq 'leader' ? $leader : $target;
		wait_fit($target);
		my ($r, $o, $e) = $c->regent('switchover', $target, '--no-wait');
		is($r, 0, "a switchover to $target begins") or diag($o . $e);
		sleep($delay);    # a place in the switchover, not a wait
		my $killed = $c->postmaster($victim) ? $c->kill_server($victim) : 0;
		start_dead();
		is_whole("$who $victim " . ($killed ? 'killed' : 'gone by itself') . " after $delay s");
	}
}
is($c->sql($leader, 'SELECT max(n) FROM (SELECT count(DISTINCT leader) AS n FROM regent.rule GROUP BY term) AS x'), '1', 'one leader per term');
done_testing();
