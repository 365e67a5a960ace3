# Disks that fill or hang, and servers that crash again and again (F23, F24, F25).
# n1 lives on a small disk of its own, a tmpfs in a mount namespace of this test.
# With on_disk_full = alarm people are told, with failover a standby that is better off
# leads, without loss; whoever died of its full disk is back when there is room; a node
# stores its promises without a free byte.
use strict;
use warnings;

# all that this test starts shall see the mount: it runs itself again in there
BEGIN
{
	if (!$ENV{REGENT_DISK_NAMESPACE})
	{
		my @unshare = ('unshare', '--user', '--map-current-user', '--mount', '--keep-caps');
		if (system("@unshare true 2>/dev/null") != 0)
		{
			print "1..0 # SKIP no user namespaces here\n";
			exit 0;
		}
		$ENV{REGENT_DISK_NAMESPACE} = 1;
		exec(@unshare, $^X, (map { "-I$_" } @INC), $0, @ARGV) or die "can't start myself in a namespace: $!";
	}
}

use RegentCluster qw(wait_until slurp spew);
use Test::More;

my $c = RegentCluster->new(nodes => 2, servers => 0, conf => "regent.write_probe = 200ms\nregent.report_interval = 100ms\nwal_keep_size = 0\nmax_wal_size = 64MB\nmin_wal_size = 32MB\n",
	regent => { lease => '2s', hang_budget => '1s' });
my $disk = $c->dir . '/n1';
RegentCluster::must([ 'mount', '-t', 'tmpfs', '-o', 'size=300m,mode=0700', 'tmpfs', $disk ]);

# before the directory that holds the mount is removed
END
{
	my $status = $?;
	if ($disk && $c->{pid_of_test} == $$)
	{
		$c->stop_all;
		RegentCluster::run_command([ 'umount', $disk ]);
	}
	$? = $status;
}

$c->node('n1')->{log} = $c->dir . '/n1.log';
$c->write_node_conf;
$c->make_primary('n1');
$c->make_standby('n2');
$c->up;

sub free_bytes
{
	my ($text) = RegentCluster::must([ 'stat', '-f', '-c', '%S %a', $disk ]);
	my ($block, $free) = split ' ', $text;
	return $block * $free;
}

# Leaves so many bytes free, more or less: what the server takes or gives meanwhile.
sub fill
{
	my ($leave) = @_;
	my $more = int((free_bytes() - $leave) / 1024);
	RegentCluster::run_command([ 'dd', 'if=/dev/zero', "of=$disk/fill", 'bs=1k', "count=$more", 'oflag=append', 'conv=notrunc' ]) if $more > 0;
}

sub empty { unlink "$disk/fill" }

sub disk_of
{
	my ($node) = @_;
	my $text = $c->sql($node, 'SELECT disk_state, disk_free_bytes, coalesce(disk_hung_ms, 0), disk_text FROM regent.node_status()', may_fail => 1) // '';
	my %d;
	@d{qw(state free hung text)} = split /\|/, $text, 4;
	return \%d;
}

sub wait_disk
{
	my ($node, $state) = @_;
	my $last;
	return wait_until(sub { $last = disk_of($node); ($last->{state} // '') eq $state ? $last : undef }, 20, "the disk of $node to be $state",
		sub { join ', ', map { "$_ $last->{$_}" } sort keys %$last });
}

sub probe_pid
{
	my ($node) = @_;
	my ($pid) = grep { (slurp("/proc/$_/cmdline") // '') =~ /pg_regent probe/ } $c->processes($node);
	return $pid;
}

# ---- what the server itself says ----

my $d = wait_disk('n1', 'ok');
cmp_ok(abs($d->{free} - free_bytes()), '<', 20 * 1024 * 1024, 'free bytes, as the kernel tells them');
like($d->{text}, qr/^\d+ bytes free in pg_wal$/, 'and where');
ok(-s $c->node('n1')->{dir} . '/pg_wal/regent.probe', 'the small file of the write probe');

fill(20 * 1024 * 1024);
$d = wait_disk('n1', 'full');
cmp_ok($d->{free}, '<', 32 * 1024 * 1024, 'below regent.disk_reserve it counts as full');
is($c->sql('n1', "CREATE TABLE t (a int); INSERT INTO t VALUES (1); SELECT count(*) FROM t"), 1, 'and still takes writes');
like(slurp($c->node('n1')->{log}), qr/pg_regent: the disk of node "n1" is full/, "the server's log");
empty();
wait_disk('n1', 'ok');
like(slurp($c->node('n1')->{log}), qr/pg_regent: the disk of node "n1" has room again/, 'again');

# ---- alarm: people are told, nothing is done (F24) ----

my $good = slurp($c->{conf});

sub set_policy
{
	my ($policy) = @_;
	spew($c->{conf}, $good =~ s/^\[cluster\]$/[cluster]\non_disk_full = $policy/mr, 0600);
	my $before = grep { $_->{event} eq 'config_reloaded' } $c->events;
	kill 'HUP', $c->{regentd};
	wait_until(sub { (grep { $_->{event} eq 'config_reloaded' } $c->events) > $before }, 20, 'the reload');
}

sub all_ok
{
	return $c->wait_status(sub { $_[0]{phase} eq 'steady' && $_[0]{diagnosis} eq 'healthy' && !grep { $_->{state} ne 'ok' || $_->{disk}{state} ne 'ok' } @{ $_[0]{nodes} } },
		60 * $RegentCluster::slow, 'two nodes that are well');
}

sub diagnosis
{
	my ($what) = @_;
	return $c->wait_status(sub { $_[0]{diagnosis} eq $what }, 30 * $RegentCluster::slow, "diagnosis $what");
}

my $loads = 0;
sub start_load { return $c->start_load(primary => $_[0], args => [ '--first-id', 1000000 * $loads++ ]) }

sub first_line { my ($rc, $out) = $c->regent('status'); return (split /\n/, $out)[0] }

# Ends the load: no row that was acknowledged is missing on the node.
sub nothing_is_lost
{
	my ($load, $node, $what) = @_;
	my $end = $c->stop_load($load);
	cmp_ok(scalar @{ $end->{ids} }, '>', 10, "$what: some rows were acknowledged");
	is($c->missing_rows($node, $end->{ids}), 0, "$what: $node has all of them");
}

my $load = start_load('n1');
my $started = $c->sql('n1', 'SELECT pg_postmaster_start_time()');
fill(24 * 1024 * 1024);
my $s = diagnosis('disk full');
is("$s->{leader} $s->{term} $s->{phase}", 'n1 1 steady', 'alarm: n1 goes on');
like(first_line(), qr/^automatic failover: ready; but disk full: n1: \d+ bytes free in pg_wal; free some space there, or regent switchover n2$/, 'the first line of status');
like($c->wait_event('primary_alarm')->{message}, qr/disk full: n1: \d+ bytes free/, 'an event');
is($c->sql('n1', 'SELECT pg_postmaster_start_time()'), $started, 'nothing is done');

# ---- failover: a standby that is better off leads, without loss ----

set_policy('failover');
$s = $c->wait_failover('n1');
is($s->{leader}, 'n2', 'failover: n2 leads');
like($c->wait_event('handover')->{message}, qr/^disk full: n1: \d+ bytes free in pg_wal; n2 is to take over$/, 'and the event says why');
is($s->{last_switchover}{cause}, 'disk full', 'status knows the cause');
is($c->sql('n2', 'SELECT reason FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1'), 'switchover from n1: disk full', 'so does the rule');
$c->wait_node('n1', 'ok');
nothing_is_lost($load, 'n2', 'disk full');
like(RegentCluster::node_of($c->status, 'n1')->{reason}, qr/bytes free in pg_wal/, 'n1 is a standby, and its disk is still told');
empty();
all_ok();

# ---- a disk that hangs (F25): its probe is stopped and no WAL is flushed ----

set_policy('alarm');
my $pid = probe_pid('n2');
kill 'STOP', $pid;
diagnosis('disk hung');
like(first_line(), qr/^automatic failover: ready; but disk hung: n2: a small write has not (?:begun|ended) for \d+ ms, and no WAL was flushed for \d+ ms; see its kernel log, or regent failover n1 --accept-loss$/, 'alarm: it is told by name');
my ($rc, $out, $err) = $c->regent('switchover', 'n1');
like($out . $err, qr/the disk of n2 hangs/, 'no switchover');
$c->sql('n2', 'CREATE TABLE h (a int)');
diagnosis('healthy');
pass('WAL that is flushed says that commits go on');
kill 'CONT', $pid;
all_ok();
set_policy('failover');
kill 'STOP', $pid;
$s = $c->wait_failover('n2');
is($s->{leader}, 'n1', 'failover: n1 leads');
ok(!kill(0, $pid), 'n2 was fenced, what hung is gone');
like((grep { $_->{event} eq 'failover_begin' } $c->events)[-1]{message}, qr/disk hung of n2/, 'and the event says why');
set_policy('alarm');
all_ok();

# ---- who died of its full disk comes back when there is room ----

$load = start_load('n1');
fill(0);
$s = $c->wait_status(sub { $c->sql('n1', 'SELECT pg_switch_wal()', may_fail => 1); $_[0]{leader} eq 'n2' && $_[0]{phase} eq 'steady' }, 60 * $RegentCluster::slow, 'n1 to die of its full disk');
$c->wait_status(sub { my $n = RegentCluster::node_of($_[0], 'n1'); $n->{reason} =~ /its disk is full: it is started when there is room/ }, 30 * $RegentCluster::slow, 'n1 to be left alone');
pass('n1 died of it, n2 leads, n1 is not started into it again');
$c->stop_load($load);
empty();
all_ok();
is($c->sql('n1', 'SELECT pg_is_in_recovery()'), 't', 'with room again it is back by itself');

# ---- crash loops (F23) ----

$load = start_load('n2');
for my $n (1 .. 3)
{
	$c->wait_status(sub { my $l = $_[0]; $l->{leader} eq 'n2' && $l->{phase} eq 'steady' && ($l->{nodes}[0]{walreceiver_state} // '') eq 'streaming' }, 30 * $RegentCluster::slow, 'n2 to lead');
	my $walwriter = $c->sql('n2', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'");
	kill 'KILL', $walwriter;
	like($c->wait_event('node_crashed', 30, qr/: $n times/)->{message}, qr/^n2 has crashed and come back by itself: $n times within 600 s, crash_limit is 3$/, "crash $n is counted");
	# the count is in the journal
	if ($n == 1) { $c->kill9_regentd; $c->start_regentd; }
}
$s = $c->wait_failover('n2');
is($s->{leader}, 'n1', 'n1 leads');
like((grep { $_->{event} eq 'handover' } $c->events)[-1]{message}, qr/^crash loop: n2 has crashed and come back 3 times within 600 s; n1 is to take over$/, 'the event says why');
$c->wait_node('n2', 'ok');
nothing_is_lost($load, 'n1', 'crash loop');
is(RegentCluster::node_of($c->status, 'n2')->{crashes}, 3, 'status has the count');

# ---- a promise without a free byte ----

# at the end: whoever gives the promise is another life of the watchdog
$c->stop_regentd;
my $uuid = $c->sql('n1', 'SELECT watchdog FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1');
ok(-s $c->node('n1')->{dir} . '/regent.state.spare', 'a spare state file waits');
fill(0);
is(free_bytes(), 0, 'no byte is free');
for my $term ($s->{term} + 1 .. $s->{term} + 3)
{
	my $ok = $c->sql('n1', "SELECT complete FROM regent.promise('$uuid', 1000000000, $term, 1000)", may_fail => 1);
	is($ok, 'f', "n1 promises term $term on a full disk") or diag($c->{sql_error});
	like(slurp($c->node('n1')->{dir} . '/regent.state'), qr/^promise $term /m, 'and has stored it');
}
empty();
done_testing();
