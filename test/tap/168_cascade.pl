# Cascading standbys: n4 streams from n2, without a vote; from the leader while n2 is
# away or rebuilt, and from n2 again when that is well.  Slots are where they are
# needed and nowhere else.
use strict;
use warnings;
use RegentCluster qw(wait_until);
use Test::More;

my $c = RegentCluster->new(nodes => 4, node_regent => { n4 => { upstream => 'n2' } });
my ($rc, $out, $err) = $c->regent('init', '--admin-conninfo', 'user=postgres dbname=postgres');
is($rc, 0, 'init') or diag("$out$err");
like($out, qr/voters \{n1,n2,n3\}$/m, 'the node with an upstream is no voter');
$c->start_regentd;
$c->wait_ready;

sub wait_source
{
	my ($node, $source, $what) = @_;
	my $s = $c->wait_status(sub {
		my $n = RegentCluster::node_of($_[0], $node);
		$n->{state} eq 'ok' && ($n->{streams_from} // '') eq $source }, 60 * $RegentCluster::slow, $what);
	pass($what);
	return $s;
}

sub wait_slots
{
	my ($node, $names, $what) = @_;
	wait_until(sub {
		($c->sql($node, "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots") // '') eq $names },
		60 * $RegentCluster::slow, $what,
		sub { $c->sql($node, 'SELECT slot_name, active, restart_lsn FROM pg_replication_slots') . "\n" . $c->regentd_log_tail });
	pass($what);
}

my $s = wait_source('n4', 'n2', 'n4 streams from n2');
my $n4 = RegentCluster::node_of($s, 'n4');
is($n4->{upstream_node}, 'n2', 'status names its upstream');
ok(!$n4->{voter}, 'and that it has no vote');
ok(!$n4->{candidate}{eligible}, 'it is no candidate');
($rc, $out) = $c->regent('status');
like($out, qr/^n4 +standby of n2 +ok/m, 'the table says of whom it is a standby') or diag($out);
wait_slots('n2', 'regent_n1 regent_n3 regent_n4', 'its slot is on n2');
wait_slots('n1', 'regent_n2 regent_n3', 'and no longer on the leader, where init had made it');
$c->sql('n1', 'CREATE TABLE t AS SELECT 1 AS i');
wait_until(sub { ($c->sql('n4', 'SELECT i FROM t', may_fail => 1) // '') eq '1' }, 30, 'the row on n4');
is($c->sql('n2', "SELECT active FROM pg_replication_slots WHERE slot_name = 'regent_n4'"), 't', 'over its own slot');

# the upstream dies: to the leader, with a slot there; it comes back: to it again
$c->kill_server('n2');
wait_source('n4', 'n1', 'its upstream died: it streams from the leader');
wait_slots('n1', 'regent_n2 regent_n3 regent_n4', 'with its slot on the leader');
$c->sql('n1', 'INSERT INTO t VALUES (2)');
wait_until(sub { ($c->sql('n4', 'SELECT count(*) FROM t') // '') eq '2' }, 30, 'the second row on n4');
$c->start_server('n2');
wait_source('n4', 'n2', 'its upstream is back: it streams from there again');
wait_slots('n1', 'regent_n2 regent_n3', 'the leader keeps no WAL for it any more');

# its upstream is promoted: it is the leader's standby, without a restart
my $start = $c->sql('n4', 'SELECT pg_postmaster_start_time()');
($rc, $out, $err) = $c->regent('switchover', 'n2');
is($rc, 0, 'switchover to its upstream') or diag("$out$err" . $c->regentd_log_tail);
wait_source('n4', 'n2', 'it follows n2, which leads now');
wait_source('n1', 'n2', 'and so does the old leader');
$c->sql('n2', 'INSERT INTO t VALUES (3)');
wait_until(sub { ($c->sql('n4', 'SELECT count(*) FROM t') // '') eq '3' }, 30, 'the third row on n4');

# the leader dies: another voter is promoted, never n4, which follows it and then its upstream;
# what n4 alone had got from it would be WAL beyond the fork
$c->wait_caught_up('n2', 'n1', 'n3');
$c->kill_server('n2');
$s = $c->wait_failover('n2');
isnt($s->{leader}, 'n4', 'a node without a vote is not promoted');
wait_source('n4', 'n2', 'in the end it streams from its upstream again, a standby now');
$c->sql($s->{leader}, 'INSERT INTO t VALUES (4)');
wait_until(sub { ($c->sql('n4', 'SELECT count(*) FROM t') // '') eq '4' }, 30, 'the fourth row on n4');
is($c->sql('n4', 'SELECT pg_postmaster_start_time()'), $start, 'n4 was never restarted');
wait_slots($s->{leader}, join(' ', map { "regent_$_" } grep { $_ ne $s->{leader} } qw(n1 n2 n3)), 'the leader has the slots of the voters alone');

# nodes that do not vote come and go with the configuration; the others keep their numbers' meaning
my @names = @{ $c->{names} };

sub reread
{
	my ($event, @list) = @_;
	my $seen = grep { $_->{event} eq $event } $c->events;
	$c->{names} = [ @list ];
	$c->write_regent_conf;
	kill 'HUP', $c->{regentd};
	wait_until(sub { $seen < grep { $_->{event} eq $event } $c->events }, 30, "event $event", sub { $c->regentd_log_tail });
}

reread('config_reloaded', qw(n3 n1 n2));
$s = $c->wait_status(sub { @{ $_[0]{nodes} } == 3 && $_[0]{auto_failover}{ready} }, 30, 'three nodes');
is(join(' ', map { "$_->{name}:$_->{state}" } @{ $s->{nodes} }), 'n3:ok n1:ok n2:ok', 'n4 is out of the configuration, and the others are another way round');
is(RegentCluster::node_of($s, $_)->{streams_from}, $_ eq $s->{leader} ? undef : $s->{leader}, "$_ streams as before") for qw(n1 n2 n3);
reread('config_refused', qw(n3 n1));
my ($why) = grep { $_->{event} eq 'config_refused' } reverse $c->events;
like($why->{message}, qr/node n2 votes in the rule in force/, 'a voter stays in the configuration');
# nobody keeps WAL for it now, so by itself it can't stream when it comes back
$c->stop_server('n4');
wait_slots($_, join(' ', map { "regent_$_" } do { my $at = $_; grep { $_ ne $at } qw(n1 n2 n3) }), "no slot for n4 on $_") for 'n2', $s->{leader};
$c->start_server('n4');
reread('config_reloaded', qw(n4 n1 n2 n3));
wait_source('n4', 'n2', 'n4 is back: it streams from its upstream');
$c->{names} = \@names;
done_testing();
