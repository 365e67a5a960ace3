# Logical slots where the server itself carries them over (PostgreSQL 17 and later, wal_level
# = logical): a subscriber with a failover slot goes on at whoever is promoted, with no row
# lost and none twice; the old leader comes back and its slot is one of a standby's; a slot
# without failover is told as lost.  In sync no subscriber is told what only the leader has.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

plan skip_all => "PostgreSQL $RegentCluster::major carries no logical slots over; from 17 on it does" if $RegentCluster::major < 17;

my $c = RegentCluster->new(nodes => 3, regent => { durability => 'sync', quorum => 1, lease => '2s' }, conf => "wal_level = logical\nmax_prepared_transactions = 1\n");
my $s = RegentCluster->new(nodes => 1, extension => 0, no_sshd => 1, conf => "wal_level = logical\n");
$c->up;

my $rows = 0;
my $leader = 'n1';

sub shows { my ($name, $setting) = @_; return $c->sql($name, "SHOW $setting") }

# Rows that were acknowledged, each with the number after the last one.
sub write_rows
{
	my ($count) = @_;
	$c->sql($leader, "INSERT INTO t SELECT generate_series($rows + 1, $rows + $count)");
	$rows += $count;
}

sub wait_rows
{
	my ($what) = @_;
	wait_until(sub { $s->sql('n1', 'SELECT count(DISTINCT id) FROM t') >= $rows }, 60, "$what: the subscriber to have $rows rows",
		sub { $s->sql('n1', 'SELECT count(*), max(id) FROM t') . RegentCluster::slurp($s->node('n1')->{log}) });
	is($s->sql('n1', 'SELECT count(*), count(DISTINCT id), min(id), max(id) FROM t'), "$rows|$rows|1|$rows", "$what: no row is lost and none is there twice");
}

# A slot is taken over when its subscriber has gone on, so rows have to come.
sub wait_synced
{
	my ($what, @standbys) = @_;
	for my $name (@standbys)
	{
		wait_until(sub {
			write_rows(1);
			$c->sql($name, "SELECT synced AND NOT temporary AND invalidation_reason IS NULL FROM pg_replication_slots WHERE slot_name = 'sub'") eq 't' },
			90, "$what: slot sub on $name", sub { RegentCluster::slurp($c->node($name)->{log}) });
		pass("$what: the server keeps slot sub on $name");
	}
}

sub wait_list
{
	my ($want, $what) = @_;
	wait_until(sub { shows($leader, 'synchronized_standby_slots') eq $want }, 30, "synchronized_standby_slots \"$want\"",
		sub { shows($leader, 'synchronized_standby_slots') });
	pass("$what: synchronized_standby_slots is \"$want\"");
}

# ---- what is set, and where ----

for my $name ($c->names)
{
	wait_until(sub { shows($name, 'sync_replication_slots') eq 'on' && shows($name, 'hot_standby_feedback') eq 'on' }, 30, "the settings of $name");
	pass("$name: sync_replication_slots and hot_standby_feedback are on");
	next if $name eq 'n1';
	wait_until(sub { shows($name, 'primary_conninfo') =~ /dbname='postgres'/ }, 30, "a database in primary_conninfo of $name");
	pass("$name: primary_conninfo names a database");
}
wait_list('regent_n2, regent_n3', 'both standbys stream');

# ---- a subscriber ----

$c->sql('n1', 'CREATE TABLE t (id int); CREATE PUBLICATION p FOR TABLE t');
$s->sql('n1', 'CREATE TABLE t (id int)');
my $hosts = join ',', map { $c->node($_)->{host} } $c->names;
my $ports = join ',', map { $c->node($_)->{port} } $c->names;
$s->sql('n1', "CREATE SUBSCRIPTION sub CONNECTION 'host=$hosts port=$ports user=postgres dbname=postgres target_session_attrs=read-write' PUBLICATION p WITH (failover = true)");
$c->sql('n1', "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')");
write_rows(100);
wait_rows('at first');
wait_synced('at first', qw(n2 n3));
wait_until(sub { my $l = RegentCluster::node_of($c->status, 'n1')->{logical_slots}; $l->{count} == 1 && $l->{synced} == 1 }, 30, 'status to count them');
my ($rc, $out) = $c->regent('check');
like($out, qr/1 logical slots \(feed\) do not survive a change of leader: they were made without failover/, 'regent check names the slot that does not survive');
like($out, qr/1 logical slots survive a change of leader/, 'and counts the one that does');
unlike($out, qr/not here yet/, 'which is on the standbys');
wait_until(sub { ($c->regent('explain'))[1] =~ /1 logical slot \(feed\) of n1 would have to be made anew/ }, 20, 'explain to name the slot');
pass('regent explain names it, too, and no other');
isnt($c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE slot_name IN ('regent_n2', 'regent_n3') AND catalog_xmin IS NOT NULL"), '0',
	"the standbys' slots on the leader keep what their copies need");

# ---- one standby goes, and comes back ----

$c->stop_server('n3');
wait_list('regent_n2', 'n3 is down');
write_rows(10);
wait_rows('with n3 down');
$c->start_server('n3');
$c->wait_node('n3', 'ok');
wait_list('regent_n2, regent_n3', 'n3 is back');

# ---- a standby that is made anew ----

sub times_told { return scalar(my @all = RegentCluster::slurp($c->node('n3')->{log}) =~ /pg_regent added a database to primary_conninfo/g) }
my $told = times_told();
my ($code, $said, $err) = $c->regent('rebuild', 'n3', '--method', 'copy', '--force', '--wait');
is($code, 0, 'n3 is given a full copy') or diag($said . $err . $c->regentd_log_tail);
$c->wait_node('n3', 'ok');
like(shows('n3', 'primary_conninfo'), qr/ dbname='?postgres/, 'its primary_conninfo names a database');
is(times_told(), $told, 'from the first start on');
wait_synced('made anew', 'n3');
wait_list('regent_n2, regent_n3', 'n3 is made anew');

# ---- what a standby has not is told to nobody ----

my @receivers = map { $c->sql($_, 'SELECT pid FROM pg_stat_wal_receiver') } qw(n2 n3);
kill 'STOP', @receivers;
my $before = $s->sql('n1', 'SELECT count(*) FROM t');
$c->sql('n1', "SET synchronous_commit = local; INSERT INTO t VALUES ($rows + 1)");
$rows++;
my $written = $c->sql('n1', 'SELECT pg_current_wal_lsn()');
wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'WaitForStandbyConfirmation'") eq '1' }, 20, 'the walsender of the subscriber to wait');
is($s->sql('n1', 'SELECT count(*) FROM t'), $before, 'a row that no standby has is not told to the subscriber');
kill 'CONT', @receivers;
wait_rows('they go on');

# ---- a slot that no standby can have yet: it begins before an older transaction ended, and never moves ----

$c->sql('n1', "BEGIN; SELECT txid_current(); PREPARE TRANSACTION 'older'");
my $maker = $c->spawn([ "$RegentCluster::bindir/psql", '-XqAt', '-d', $c->conninfo('n1'), '-c', "SELECT pg_create_logical_replication_slot('late', 'test_decoding', false, false, true)" ], $c->dir . '/late.out');
wait_until(sub { $c->sql('n1', "SELECT catalog_xmin IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'late'") eq 't' }, 20, 'slot late to begin');
write_rows(5);
$c->sql('n1', "COMMIT PREPARED 'older'");
is(RegentCluster::reap($maker, 30), 0, 'slot late is made') or diag(RegentCluster::slurp($c->dir . '/late.out'));
wait_until(sub { RegentCluster::node_of($c->status, 'n1')->{logical_slots}{synced} == 2 }, 30, 'status to count it');
like(($c->regent('check'))[1], qr/not here yet: late/, 'regent check says that it is not there yet');

# ---- the leader dies; where configuration management allows nobody ALTER SYSTEM ----

sub allow_alter_system
{
	my ($value) = @_;
	for my $name ($c->names)
	{
		open(my $fh, '>>', $c->node($name)->{dir} . '/postgresql.conf') or die "postgresql.conf of $name: $!";
		print {$fh} "allow_alter_system = $value\n";
		close $fh;
		$c->sql($name, 'SELECT pg_reload_conf()');
		wait_until(sub { shows($name, 'allow_alter_system') eq $value }, 20, "allow_alter_system = $value on $name");
	}
}
allow_alter_system('off');

$c->wait_node($_, 'ok') for qw(n2 n3);
wait_list('regent_n2, regent_n3', 'before the crash');
write_rows(50);
$c->kill_server('n1');
$leader = $c->wait_failover('n1')->{leader};
my $other = $leader eq 'n2' ? 'n3' : 'n2';
my $e = $c->wait_event('logical_slots_lost', 30, qr/had not come/);
like($e->{message}, qr/1 of 2 logical slots that PostgreSQL carries over had not come to $leader yet \(late\)/, 'the promotion says which slot had not come yet');
$e = $c->wait_event('logical_slots_lost', 30, qr/did not go/);
like($e->{message}, qr/1 logical slot \(feed\) of n1 did not go with the lead to $leader/, 'the promotion says which logical slot is not there');
write_rows(50);
wait_rows('after a failover');
is($c->sql($leader, "SELECT active FROM pg_replication_slots WHERE slot_name = 'sub'"), 't', "it goes on at slot sub of $leader");

# ---- the old leader comes back ----

$c->wait_node('n1', 'ok');
wait_synced('back again', 'n1', $other);
is($c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical' AND failover AND NOT synced"), '0', 'nothing of its own is left on n1');
my $followed = !grep { $_->{event} eq 'rebuild_begin' && $_->{message} =~ /\bn1\b/ } $c->events;
my $dropped = RegentCluster::slurp($c->node('n1')->{log}) =~ /pg_regent dropped logical slot "sub" of node "n1"/;
ok($dropped || !$followed, $followed ? 'it followed plainly, so its own was dropped' : 'it was rebuilt, which leaves no slot');
wait_list(join(', ', map { "regent_$_" } grep { $_ ne $leader } $c->names), 'all stream again');

like($c->sql($leader, 'ALTER SYSTEM SET work_mem = 1000', may_fail => 1) // $c->{sql_error}, qr/ALTER SYSTEM is not allowed/, 'all this without allow_alter_system');
allow_alter_system('on');

# ---- and leads once more ----

($rc, $out) = $c->regent('switchover', 'n1');
is($rc, 0, 'a switchover back to n1') or diag($out);
my $former = $leader;
$leader = 'n1';
write_rows(50);
wait_rows('after a switchover');
$c->wait_node($former, 'ok');
wait_synced('after a switchover', $former, $other);
wait_rows('in the end');

# ---- strict ----

$c->regent('set', 'durability', 'strict');
wait_until(sub { $c->status->{durability} eq 'strict' }, 30, 'strict');
write_rows(20);
wait_rows('in strict');
wait_list(join(', ', map { "regent_$_" } grep { $_ ne $leader } $c->names), 'strict');

# ---- a list of somebody else's, and async ----

$c->regent('set', 'durability', 'async');
wait_list('', 'async');
$c->sql('n1', "SELECT pg_create_physical_replication_slot('archiver', true)");
$c->sql('n1', "ALTER SYSTEM SET synchronized_standby_slots = 'archiver'");
$c->sql('n1', 'SELECT pg_reload_conf()');
wait_until(sub { RegentCluster::slurp($c->node('n1')->{log}) =~ /pg_regent leaves synchronized_standby_slots of node "n1" as it is: "archiver"/ }, 20, 'the worker to tell it');
like(($c->regent('check'))[1], qr/synchronized_standby_slots names slots that are not of pg_regent \(archiver\)/, "somebody else's list is left alone, and told");

# ---- the slots go, and wal_level is lowered: PostgreSQL itself would not start so ----

$s->sql('n1', 'DROP SUBSCRIPTION sub');
wait_until(sub { $c->sql('n3', "SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'logical'") eq '0' }, 60, 'no logical slot on n3');
like(RegentCluster::slurp($c->node('n3')->{dir} . '/postgresql.auto.conf'), qr/^sync_replication_slots/m, 'n3 has the setting in its file');
$c->stop_server('n3');
open(my $conf, '>>', $c->node('n3')->{dir} . '/postgresql.conf') or die "postgresql.conf of n3: $!";
print {$conf} "wal_level = replica\n";
close $conf;
$c->start_server('n3');
is(shows('n3', 'sync_replication_slots'), 'off', 'n3 runs with a lower wal_level, and takes no slots');
wait_until(sub { RegentCluster::slurp($c->node('n3')->{dir} . '/postgresql.auto.conf') !~ /^sync_replication_slots/m }, 30, 'the setting to go from the file of n3');
$c->wait_node('n3', 'ok');
$c->stop_server('n3');
$c->start_server('n3');
$c->wait_node('n3', 'ok');
done_testing();
