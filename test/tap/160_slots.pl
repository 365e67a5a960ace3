# Slots: what a dead standby may hold, and what becomes of it when it is back; slots on
# standbys follow their owners, so that a promotion finds WAL for all (F34); others' slots
# are left alone; logical slots are told (F35).
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $limit = 80;    # MB; a segment has 16
my $max_wal = 64;
my $c = RegentCluster->new(nodes => 3, conf => <<"END");
wal_level = logical
max_wal_size = ${max_wal}MB
min_wal_size = 32MB
regent.slot_wal_limit = ${limit}MB
hot_standby_feedback = on
END
$c->up;
$c->sql('n1', 'CREATE TABLE t (id int)');

sub write_wal
{
	my ($primary, $segments) = @_;
	$c->sql($primary, 'INSERT INTO t VALUES (1); SELECT pg_switch_wal()') for 1 .. $segments;
}

sub wal_mb { return $c->sql($_[0], 'SELECT sum(size) / 1048576 FROM pg_ls_waldir()') }
sub inode { return (stat $c->node($_[0])->{dir})[1] }

sub slot
{
	my ($node, $column, $name) = @_;
	return $c->sql($node, "SELECT $column FROM pg_replication_slots WHERE slot_name = '$name'");
}

sub rebuilds
{
	my ($name) = @_;
	return scalar grep { $_->{event} eq 'rebuild_end' && $_->{message} =~ /$name/ } $c->events;
}

# others' slots, from the beginning on; logical ones are told before it matters
$c->sql('n1', "SELECT pg_create_physical_replication_slot('backup_tool', true)");
$c->sql('n2', "SELECT pg_create_physical_replication_slot('archiver')");
$c->sql('n1', "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')");
my ($rc, $out) = $c->regent('check');
like($out, qr/1 logical slots \(feed\) do not survive/, 'regent check names the logical slot');
like($out, qr/holds at most ${limit}MB of WAL/, 'and says what a dead standby may hold');
wait_until(sub { ($c->regent('explain'))[1] =~ /1 logical slot \(feed\) of n1 would have to be made anew/ }, 20, 'explain to name the logical slot');
pass('regent explain names it, too');
$c->sql('n1', "SELECT pg_drop_replication_slot('feed'); SELECT pg_drop_replication_slot('backup_tool')");

# down, but below the limit: it just goes on
my $dir = inode('n3');
$c->stop_server('n3', 'immediate');
write_wal('n1', 2);
$c->sql('n1', 'CHECKPOINT');
$c->start_server('n3');
$c->wait_node('n3', 'ok');
$c->wait_caught_up('n1', 'n2', 'n3');
is(inode('n3'), $dir, 'back below the limit: it streams, nothing was copied');
my $shown = RegentCluster::node_of($c->status, 'n1')->{slots};
my ($n3) = grep { $_->{node} eq 'n3' } @$shown;
ok($n3 && $n3->{active} && $n3->{wal_status} eq 'reserved' && defined $n3->{kept_bytes}, 'status --json shows what the slot keeps');

# a slot on a standby follows its owner, up to the standby's own restartpoint
$c->sql($_, 'CHECKPOINT') for qw(n1 n2);
wait_until(sub { slot('n2', 'restart_lsn = (SELECT redo_lsn FROM pg_control_checkpoint())', 'regent_n3') eq 't' }, 30,
	'the slot of n3 on n2 to follow n3');
pass('slots on standbys follow their owners');

# down when the leader dies: who is promoted has kept its WAL
$c->stop_server('n3');
$c->wait_node('n3', 'dead');
my $stood = $c->sql('n2', 'SELECT pg_last_wal_replay_lsn()');
write_wal('n1', 2);
$c->wait_caught_up('n1', 'n2');
$c->sql($_, 'CHECKPOINT') for qw(n1 n2);
write_wal('n1', 1);
$c->wait_caught_up('n1', 'n2');
$c->sql($_, 'CHECKPOINT') for qw(n1 n2);
is(slot('n2', "restart_lsn <= '$stood'", 'regent_n3'), 't', 'n2 keeps the WAL that n3 lacks');
$c->sql('n1', "SELECT pg_create_logical_replication_slot('feed', 'test_decoding')");
wait_until(sub { (RegentCluster::node_of($c->status, 'n1')->{logical_slots}{count} // 0) == 1 }, 20, 'the logical slot to be seen');
wait_until(sub { slot('n1', 'xmin IS NOT NULL', 'regent_n2') eq 't' }, 20, 'the feedback of n2');
$c->kill_server('n1');
$c->wait_failover('n1');
my $e = $c->wait_event('logical_slots_lost');
like($e->{message}, qr/1 logical slot \(feed\) of n1 did not go with the lead to n2/, 'the promotion says which logical slots are not there');
$c->sql('n2', 'CHECKPOINT');
$c->wait_node('n1', 'ok');
$c->start_server('n3');
$c->wait_node('n3', 'ok');
$c->wait_caught_up('n2', 'n1', 'n3');
wait_until(sub { $c->sql('n1', "SELECT count(*) FROM pg_replication_slots WHERE xmin IS NOT NULL AND slot_name ~ '^regent_'") eq '0' }, 20,
	'the slots on n1 to hold back no rows');
pass("a former leader's slots hold back no rows any more");
is(rebuilds('n3'), 0, 'after the failover n3 follows although it lagged: no copy');
is(inode('n3'), $dir, 'in its own directory');

# beyond the limit: released; back, and made anew by itself
$c->stop_server('n3', 'immediate');
$c->wait_node('n3', 'dead');
my $told;
for (1 .. 6)
{
	write_wal('n2', 1);
	$told = eval { wait_until(sub { ($c->regent('status'))[1] =~ /^n2 keeps [\d.]+ MB of WAL for n3, .*; at 80.0 MB that WAL is released, .*: bring it back; /m }, 3, 'it to be told') };
	last if $told;
}
ok($told, 'near its limit: status says how much is kept for whom, what happens then, and what to do');
for (1 .. 3)
{
	write_wal('n2', 4);
	wait_until(sub { slot('n2', "pg_current_wal_lsn() - restart_lsn <= $limit * 1048576::numeric", 'regent_n3') eq 't' }, 20, 'the slot to be within its limit');
	$c->sql('n2', 'CHECKPOINT');
	my $mb = wal_mb('n2');
	cmp_ok($mb, '<=', $limit + $max_wal + 48, "the leader's pg_wal has $mb MB");
}
$e = $c->wait_event('slot_released', 30, qr/for n3 no longer/);
ok($e, 'people are told');
wait_until(sub { RegentCluster::node_of($c->status, 'n3')->{reason} =~ /WAL that it needs was released/ }, 20, 'the node to say so');
$c->start_server('n3');
$c->wait_event('rebuild_end', 60, qr/n3/);
$c->wait_node('n3', 'ok');
$c->wait_caught_up('n2', 'n1', 'n3');
like((grep { $_->{event} eq 'node_diverged' && $_->{message} =~ /n3/ } $c->events)[-1]{message}, qr/has none before/, 'why it was made anew');
isnt(inode('n3'), $dir, 'beyond the limit: it was made anew by itself');
wait_until(sub { my ($s) = grep { $_->{node} eq 'n3' } @{ RegentCluster::node_of($c->status, 'n2')->{slots} }; !$s->{released} }, 20, 'the slot to be as it was');

# copied along, or of a node that is gone
for my $name (qw(n1 n2))
{
	$c->sql($name, "SELECT pg_create_physical_replication_slot('regent_n9', true)");
	wait_until(sub { slot($name, '1', 'regent_n9') eq '' }, 30, "the slot of n9 on $name to be dropped");
}
pass('the slot of a node that is none of the cluster is dropped');
is(slot('n2', 'restart_lsn IS NULL', 'archiver'), 't', "another's slot was never touched");
done_testing();
