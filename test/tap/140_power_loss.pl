# Everything loses power: the cluster opens by itself, with all rows, whatever
# order the servers come back in, and never on a node that lacks a commit.  When
# those that may hold the newest commits do not come back, a person decides, is
# told what may be lost, and it is recorded.
use strict;
use warnings;
use RegentCluster qw(wait_until slurp spew);
use Test::More;

my $c = RegentCluster->new(nodes => 3, regent => { durability => 'sync', quorum => 1, lease => '2s', restart_budget => '2s' });
$c->up;
$c->sql('n1', 'CREATE TABLE t (id serial PRIMARY KEY, said text)');
my $rows = 0;

sub write_some
{
	my ($node) = @_;
	$c->sql($node, "INSERT INTO t (said) SELECT 'x' FROM generate_series(1, 100)");
	$rows += 100;
}

# SIGKILL of every process of every server at once, the watchdog too.
sub power_off
{
	my (@names) = @_;
	$c->kill9_regentd if $c->{regentd};
	for my $name (@names)
	{
		wait_until(sub { my @p = $c->processes($name); kill 'KILL', @p if @p; !@p }, 20, "$name to be off");
	}
}

# The machine is on again.  regentd may have been faster: it starts what it has fenced.
sub power_on
{
	my ($name) = @_;
	wait_until(sub { $c->postmaster($name) || eval { $c->start_server($name); 1 } }, 60, "$name to run");
}

# ---- power loss, three orders of coming back ----

for my $order ([qw(n1 n2 n3)], [qw(n3 n2 n1)], [qw(n2 n3 n1)])
{
	my $leader = $c->wait_whole->{leader};
	write_some($leader);
	power_off($c->names);
	power_on($order->[0]);
	$c->start_regentd;
	power_on($order->[$_]) for 1, 2;
	my $s = $c->wait_whole;
	is($c->sql($s->{leader}, 'SELECT count(*) FROM t'), $rows, "power loss, back as @$order: $s->{leader} leads in term $s->{term}, all rows are there");
	my @primaries = grep { $c->sql($_, 'SELECT pg_is_in_recovery()') eq 'f' } $c->names;
	is("@primaries", $s->{leader}, 'one primary');
	$c->wait_caught_up($s->{leader}, grep { $_ ne $s->{leader} } $c->names);
	is($c->sql($_, 'SELECT count(*) FROM t'), $rows, "$_ has all rows") for $c->names;
	$c->wait_ready;
}

# ---- only a stale node comes back ----

my $leader = $c->wait_whole->{leader};
my ($stale, $other) = grep { $_ ne $leader } $c->names;
$c->stop_server($stale);
$c->wait_node($stale, 'dead');
write_some($leader);    # acknowledged by the leader and the other standby only
my $at = $rows - 100;
power_off($leader, $other);
rename($c->node($_)->{dir}, $c->node($_)->{dir} . '.gone') for $leader, $other;
$c->start_server($stale);
$c->start_regentd;
my $s = $c->wait_status(sub { RegentCluster::node_of($_[0], $stale)->{role} eq 'standby' && !$_[0]{auto_failover}{ready} }, 30, "$stale to be seen");
ok(!eval { wait_until(sub { $c->sql($stale, 'SELECT pg_is_in_recovery()') eq 'f' }, 8, 'x') }, "$stale alone is not promoted: it may lack commits");
$s = $c->status;
ok($s->{auto_failover}{reason} ne '', "and status says what is waited for: $s->{auto_failover}{reason}");

my ($rc, $out, $err) = $c->regent('failover', $stale);
is($rc, 2, 'failover without --accept-loss is a usage error');
like($err, qr/--accept-loss/, 'that says so');
($rc, $out, $err) = $c->regent('failover', $stale, '--accept-loss', '--dry-run');
is($rc, 0, 'a dry run') or diag($err);
like($out, qr/may lose commits: declared lost: .*$leader.*given up/, 'tells who is declared lost and what is given up') or diag($out);
($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::build/regent", '-c', $c->{conf}, 'failover', $stale, '--accept-loss' ], stdin => "$leader\n");
is($rc, 1, 'another name than the one asked for');
like($err, qr/not confirmed, nothing was changed/, 'changes nothing');
is($c->sql($stale, 'SELECT pg_is_in_recovery()'), 't', 'indeed');
($rc, $out, $err) = RegentCluster::run_command([ "$RegentCluster::build/regent", '-c', $c->{conf}, 'failover', $stale, '--accept-loss' ], stdin => "$stale\n", timeout => 120);
is($rc, 0, 'with its name it leads') or diag("$out$err" . $c->regentd_log_tail);
$s = $c->status;
is($s->{leader}, $stale, "$stale leads");
is($c->sql($stale, 'SELECT count(*) FROM t'), $at, 'without the last commits');
like($s->{last_failover}{given_up}, qr/declared lost|given up/, "it is recorded: $s->{last_failover}{given_up}");
ok((grep { $_->{event} eq 'loss_accepted' && $_->{alarm} } $c->events), 'event loss_accepted');

# those declared lost come back after all: they hold commits that nobody has any more
rename($c->node($_)->{dir} . '.gone', $c->node($_)->{dir}) for $leader, $other;
power_on($leader);
wait_until(sub { ($c->sql($leader, 'INSERT INTO t (said) VALUES (0)', may_fail => 1) // 'refused') eq 'refused' }, 5, 'the old leader to refuse');
is($c->sql($leader, 'INSERT INTO t (said) VALUES (0)', may_fail => 1), undef, 'the old leader comes back closed');
power_on($other);
$s = $c->wait_whole;
is($s->{leader}, $stale, 'they are brought back as standbys');
$c->wait_caught_up($stale, $leader, $other);
is($c->sql($_, 'SELECT count(*) FROM t'), $at, "$_ has the rows of the leader") for $c->names;
done_testing();
