# Disks that fill or hang, and servers that crash again and again (F23, F24, F25).
# n1 lives on a small disk of its own, a tmpfs in a mount namespace of this test.
# A full disk and a disk that hangs are told, by the server and by regentd; a node
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
	regent => { lease => '2s' });
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

# ---- a promise without a free byte ----

# at the end: whoever gives the promise is another life of the watchdog
$c->stop_regentd;
my $uuid = $c->sql('n1', 'SELECT watchdog FROM regent.rule ORDER BY term DESC, seq DESC LIMIT 1');
ok(-s $c->node('n1')->{dir} . '/regent.state.spare', 'a spare state file waits');
fill(0);
is(free_bytes(), 0, 'no byte is free');
for my $term (2 .. 4)
{
	my $ok = $c->sql('n1', "SELECT complete FROM regent.promise('$uuid', 1000, $term, 1000)", may_fail => 1);
	is($ok, 'f', "n1 promises term $term on a full disk") or diag($c->{sql_error});
	like(slurp($c->node('n1')->{dir} . '/regent.state'), qr/^promise $term /m, 'and has stored it');
}
empty();
done_testing();
