# Rules that change while running, on real servers.  In sync a standby that dies is
# left out and writes go on; back again, it is counted first and a candidate when it has
# caught up.  In strict they wait, and status says why.  regent set changes durability
# and quorum under load; the primary, or regentd, is killed at each seam of a change, and
# no acknowledged row is lost.
use strict;
use warnings;
use RegentCluster qw(wait_until spew slurp);
use RegentClient;
use Test::More;
use Time::HiRes qw(time sleep);

my $c = RegentCluster->new(nodes => 3, regent => { durability => 'sync', quorum => 1, lease => '2s' });
$c->up;
my $d = $c->dir;
my $leader = 'n1';
my ($rc, $out, $err);

sub standbys { return grep { $_ ne $leader } $c->names }
sub left_out { return join ' ', sort map { $_->{node} } @{ $_[0]{left_out} } }

sub all_counted
{
	my ($what) = @_;
	my $s = $c->wait_status(sub { my ($s) = @_; $s->{phase} eq 'steady' && left_out($s) eq '' && $s->{rule_in_force} &&
			!grep { $_->{state} ne 'ok' } @{ $s->{nodes} } }, 120 * $RegentCluster::slow, "$what: everybody is counted");
	$leader = $s->{leader};
	return $s;
}

sub names_are
{
	my ($want, $what) = @_;
	wait_until(sub { $c->sql($leader, 'SHOW synchronous_standby_names') eq $want }, 20 * $RegentCluster::slow, "synchronous_standby_names \"$want\"");
	pass("$what: synchronous_standby_names is \"$want\"");
}

sub more_rows
{
	my ($what) = @_;
	my $before = $c->sql($leader, 'SELECT count(*) FROM regent_load');
	wait_until(sub { $c->sql($leader, 'SELECT count(*) FROM regent_load') > $before + 20 }, 30 * $RegentCluster::slow, "$what: writes to go on");
	pass("$what: writes go on");
}

sub start_load
{
	$c->sql($leader, 'TRUNCATE regent_load');
	return $c->start_load(primary => $leader);
}

sub set
{
	my (@args) = @_;
	my $name = "set @args";
	($rc, $out, $err) = $c->regent('set', @args);
	is($rc, 0, "$name") or diag($out . $err . $c->regentd_log_tail);
	return $out;
}

# ---- as regent init leaves it ----

my $s = all_counted('at first');
is("$s->{durability} $s->{quorum} of $s->{counted}", 'sync 1 of 2', 'status says durability and quorum');
like($s->{guarantee}, qr/no single failure loses it/, 'and what that means');
names_are('ANY 1 (n1, n2, n3)', 'sync');
wait_until(sub { $c->sql($_, 'SHOW synchronous_standby_names') eq 'ANY 1 (n1, n2, n3)' }, 20, 'the same list') for standbys();
pass('the same list on every node, ahead of time');

# ---- leaving out, one after the other ----

my $load = $c->start_load(primary => 'n1');
$c->kill_server('n3');
more_rows('one standby is dead');
$s = $c->wait_status(sub { left_out($_[0]) eq 'n3' && $_[0]{rule_in_force} && $_[0]{counted} == 1 }, 60 * $RegentCluster::slow, 'n3 to be left out');
is($s->{quorum}, 1, 'the quorum is kept as long as the others can give it');
like($s->{left_out}[0]{reason}, qr/has not streamed from n1/, 'with the reason');
like((grep { $_->{event} eq 'rule_changed' } $c->events)[-1]{message}, qr/left out: n3 \(was nobody\)/, 'event rule_changed says who');
($rc, $out, $err) = $c->regent('status');
like($out, qr/durability sync, quorum 1 of 1.*\n.*\nn3 is left out since .*, because/, 'regent status, too');
($rc, $out, $err) = $c->regent('explain', '--quorum');
like($out, qr/n3 is left out: it acknowledges nothing/, 'regent explain --quorum, too');

$c->kill_server('n2');
$s = $c->wait_status(sub { left_out($_[0]) eq 'n2 n3' && $_[0]{rule_in_force} && $_[0]{quorum} == 0 }, 60 * $RegentCluster::slow, 'n2 to be left out');
like($s->{guarantee}, qr/a commit is on n1 alone, and nobody takes over without it/, 'status says that nobody is there');
names_are('', 'nobody is left');
more_rows('without any standby');

# ---- and back ----

$c->start_server('n3');
$c->wait_status(sub { left_out($_[0]) eq 'n2' && $_[0]{quorum} == 1 && $_[0]{rule_in_force} }, 60 * $RegentCluster::slow, 'n3 to be counted again, and caught up');
names_are('ANY 1 (n1, n2, n3)', 'one is back');
is($c->sql('n3', "SELECT left_out @> '{n2}' AND NOT left_out @> '{n3}' FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1"), 't',
	'it holds the rule that counts it again');
$c->start_server('n2');
all_counted('both are back');
my $sum = $c->stop_load($load);
is($c->missing_rows($_, $sum->{ids}), 0, "$_ has every acknowledged row") for 'n1';
cmp_ok(scalar @{ $sum->{ids} }, '>', 100, 'the load was real: ' . @{ $sum->{ids} } . ' commits');

# ---- regent set: refusals, then online under load ----

for (['quorum', 3], ['durability', 'always'], ['quorum', 0], ['colour', 'red'])
{
	($rc, $out, $err) = $c->regent('set', @$_);
	isnt($rc, 0, "set @$_: refused");
}
($rc, $out, $err) = $c->regent('set', 'quorum', 3);
like($err, qr/more than the 2 standbys that vote/, 'with the reason');
($rc, $out, $err) = $c->regent('set', 'durability', 'strict', '--dry-run');
is($rc, 0, '--dry-run');
is($c->status->{durability}, 'sync', '--dry-run changes nothing');

$load = start_load();
like(set('durability', 'async'), qr/in force: durability async.*may lose the last moments/, 'async: told what it means');
names_are('', 'async');
like(set('durability', 'strict'), qr/in force: durability strict, quorum 1; a commit is told when 1 of 2/, 'strict: told what it means');
names_are('ANY 1 (n1, n2, n3)', 'strict');
set('quorum', 2);
names_are('ANY 2 (n1, n2, n3)', 'quorum 2');
set('durability', 'sync');
set('quorum', 1);
more_rows('after five changes');
$sum = $c->stop_load($load);
$c->wait_caught_up($leader, standbys());
is($c->missing_rows($_, $sum->{ids}), 0, "$_ has every acknowledged row") for $c->names;

# ---- strict: writes wait, and status says why ----

set('durability', 'strict');
my $n = $c->node($leader);
$c->sql($leader, 'CREATE ROLE app LOGIN; CREATE TABLE t (v text); GRANT ALL ON t TO app');
wait_until(sub { $c->sql($_, "SELECT count(*) FROM pg_class WHERE relname = 't'") == 1 }, 20, 'the table') for standbys();
my @dead = standbys();
$c->kill_server($_) for @dead;
wait_until(sub { $c->sql($leader, "SELECT count(*) FROM pg_stat_replication") == 0 }, 30, 'nobody to stream');
my $client = RegentClient->new(host => $n->{host}, port => $n->{port}, user => 'app');
$client->send_query("INSERT INTO t VALUES ('waits')");
ok(!@{ $client->result(2)->{tags} }, 'strict: a commit waits while no standby is there');
$c->wait_status(sub { grep { $_->{state} eq 'dead' } @{ $_[0]{nodes} } }, 30, 'the dead ones to be seen');
is(left_out($c->status), '', 'nobody is left out in strict');
is($c->status->{quorum}, 1, 'and the quorum stays');

# an ordinary session can ask for less, unless it is not allowed to
my $local = RegentClient->new(host => $n->{host}, port => $n->{port}, user => 'app', options => { application_name => 'local' });
ok(RegentClient::is_acknowledged($local->query("SET synchronous_commit = off; INSERT INTO t VALUES ('off')")), 'synchronous_commit = off asks for no count');
$c->sql($leader, 'ALTER SYSTEM SET regent.require_sync_commit = on');
$c->sql($leader, 'SELECT pg_reload_conf()');
wait_until(sub { $local->value('SHOW regent.require_sync_commit') eq 'on' }, 20, 'regent.require_sync_commit');
$local->send_query("INSERT INTO t VALUES ('raised')");
ok(!@{ $local->result(1)->{tags} }, 'regent.require_sync_commit: it waits all the same');
ok(defined $c->sql($leader, "SET synchronous_commit = local; INSERT INTO t VALUES ('superuser')"), 'a superuser does not');
$c->start_server($_) for @dead;
ok(RegentClient::is_acknowledged($client->result(60 * $RegentCluster::slow)), 'told when a standby has it');
ok(RegentClient::is_acknowledged($local->result(60 * $RegentCluster::slow)), 'and the one that was raised');
is($local->value('SHOW synchronous_commit'), 'off', 'for that transaction only');
$c->sql($leader, 'ALTER SYSTEM RESET regent.require_sync_commit');
all_counted('strict, all back');

# ---- killed at the seams of a change ----

# regentd right before or after each write of its journal, then the primary
my $preload = "$RegentCluster::top/test/bench/build/crash_at_sync.so";
my $wish = 'sync';
for my $seam (1 .. 4)
{
	my $when = $seam % 2 ? 'before' : 'after';
	my $at = int(($seam + 1) / 2);
	$wish = $wish eq 'sync' ? 'strict' : 'sync';
	$c->stop_regentd;
	$c->start_regentd(env => { LD_PRELOAD => $preload, CRASH_AT_SYNC => $at, CRASH_WHEN => $when, CRASH_ARMED => "$d/armed$seam" });
	$c->wait_ready(60);
	$load = start_load();
	spew("$d/armed$seam", '');
	$c->regent('set', 'durability', $wish, '--no-wait');
	$c->regent('set', 'quorum', 1 + $seam % 2, '--no-wait');
	eval { wait_until(sub { $c->regentd_has_ended }, 5, 'regentd to die') };
	my $died = $c->regentd_has_ended;
	my $old = $leader;
	$c->kill_server($old);
	$c->kill9_regentd;
	unlink "$d/armed$seam";
	$c->start_regentd;
	$c->wait_failover($old, 90);
	$s = all_counted("seam $seam");
	$sum = $c->stop_load($load);
	$c->wait_caught_up($leader, standbys());
	is($c->missing_rows($_, $sum->{ids}), 0, "$_ has every row that was acknowledged ($when write $at" . ($died ? '' : ', not reached') . ')') for $c->names;
	set('durability', $wish);
}

# the primary alone, at moments spread over a change
for my $delay (0, 0.02, 0.1, 0.3)
{
	$load = start_load();
	$c->regent('set', 'quorum', $delay == 0.02 || $delay == 0.3 ? 1 : 2, '--no-wait');
	sleep($delay);    # a place in the change, not a wait
	my $old = $leader;
	$c->kill_server($old);
	$c->wait_failover($old, 90);
	all_counted("primary killed after $delay s");
	$sum = $c->stop_load($load);
	$c->wait_caught_up($leader, standbys());
	is($c->missing_rows($_, $sum->{ids}), 0, "killed after $delay s: $_ has every acknowledged row") for $c->names;
}
is($c->sql($leader, 'SELECT max(n) FROM (SELECT count(DISTINCT leader) AS n FROM regent.rule GROUP BY term) AS x'), '1', 'one leader per term');
done_testing();
