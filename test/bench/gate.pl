# gate.pl
#    What the open gate costs a writing transaction: two servers with the same
#    settings, one with the extension and an open gate, one without, loaded in
#    turns with pgbench, synchronous_commit off, one client per core.
#
# Two measures of each turn: transactions per second, and processor time of all
# processes of the server per transaction.  The second one does not care who else
# uses the machine, so it is the one to trust on a shared one.  The order within a
# pair alternates; the ratio is taken pair by pair and its median is printed.
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use POSIX ();
use RegentCluster qw(wait_until);
use Time::HiRes qw(time);

$| = 1;
my ($pairs, $seconds, $clients) = (30, 4, 2);
GetOptions('pairs=i' => \$pairs, 'seconds=i' => \$seconds, 'clients=i' => \$clients) or exit 2;
my $json = JSON::PP->new->canonical;

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

my %conf = (
	with => '',
	without => "shared_preload_libraries = ''\n",
);
my $common = "synchronous_commit = off\nautovacuum = off\nshared_buffers = 256MB\nmax_wal_size = 8GB\ncheckpoint_timeout = 1h\n";
my %cluster;
my $watchdog = '11111111-2222-4333-8444-555555555555';

# The watchdog's part: a rule, then a lease again and again.
sub keep_open
{
	my ($c) = @_;

	$c->sql('n1', 'CREATE EXTENSION IF NOT EXISTS pg_regent');
	$c->sql('n1', "SELECT regent.write_rule('$watchdog', 1, 2, 1, 'n1', '{n1}', 'async', 0, '{}', '1 hour', NULL, 'bench')");
}

sub grant
{
	my ($c) = @_;

	$c->sql('n1', "SELECT regent.heartbeat('$watchdog', 1, s.boot_id, s.started_at, 2, s.boottime_ms + 3600000)
		FROM regent.heartbeat('$watchdog', 1, NULL, NULL, 2, NULL) s");
	my $gate = $c->sql('n1', 'SELECT gate FROM regent.node_status()');
	die "the gate is $gate, not open\n" unless $gate eq 'open';
}

# user + system time of a server's processes, and of those that have ended under its postmaster, in ticks
sub server_ticks
{
	my ($c) = @_;
	my $ticks = 0;

	for my $pid ($c->processes('n1'))
	{
		open my $fh, '<', "/proc/$pid/stat" or next;
		my $stat = <$fh> // next;
		$stat =~ s/.*\) //;
		my @f = split / /, $stat;
		$ticks += $f[11] + $f[12];
		$ticks += $f[13] + $f[14] if $pid == $c->postmaster('n1');
	}
	return $ticks;
}

sub pgbench
{
	my ($c, @args) = @_;
	my $bin = qx($ENV{PG_CONFIG} --bindir);

	chomp $bin;
	return RegentCluster::must([ "$bin/pgbench", '-n', @args, $c->conninfo('n1') ]);
}

sub turn
{
	my ($c, $load) = @_;
	my @args = $load eq 'insert' ? ('-f', $c->dir . '/insert.sql') : ('-b', 'tpcb-like');
	my $before = server_ticks($c);
	my $out = pgbench($c, '-T', $seconds, '-c', $clients, '-j', $clients, @args);
	my $ticks = server_ticks($c) - $before;
	my ($n) = $out =~ /transactions actually processed: (\d+)/ or die "pgbench said: $out";
	my ($tps) = $out =~ /tps = ([\d.]+)/;

	return { tps => $tps, us => $ticks / POSIX::sysconf(POSIX::_SC_CLK_TCK()) * 1e6 / $n };
}

for my $name (sort keys %conf)
{
	my $c = $cluster{$name} = RegentCluster->new(nodes => 1, conf => $conf{$name} . $common, no_sshd => 1);

	RegentCluster::spew($c->dir . '/insert.sql', "INSERT INTO bench_row (v) VALUES (1);\n");
	if ($name eq 'with')
	{
		keep_open($c);
		grant($c);
	}
	pgbench($c, '-i', '-q', '-s', 10);
	$c->sql('n1', 'CREATE TABLE bench_row (id bigserial PRIMARY KEY, v int)');
}

print "load      pairs   tps ratio (with/without)   server CPU per transaction (us): without  with   ratio\n";
for my $load ('tpcb', 'insert')
{
	my (@tps, @cpu, %us);

	for my $i (1 .. $pairs)
	{
		my %r;

		grant($cluster{with});
		$_->sql('n1', 'TRUNCATE pgbench_history, bench_row; CHECKPOINT') for values %cluster;
		$r{$_} = turn($cluster{$_}, $load) for $i % 2 ? ('with', 'without') : ('without', 'with');
		push @tps, $r{with}{tps} / $r{without}{tps};
		push @cpu, $r{with}{us} / $r{without}{us};
		push @{ $us{$_} }, $r{$_}{us} for keys %r;
		print $json->encode({ load => $load, pair => $i, %r }), "\n";
	}
	printf "%-9s %5d   %.4f (%.3f to %.3f)   %.1f  %.1f   %.4f (%.3f to %.3f)\n", $load, $pairs,
		median(@tps), (sort { $a <=> $b } @tps)[ 0, -1 ], median(@{ $us{without} }), median(@{ $us{with} }),
		median(@cpu), (sort { $a <=> $b } @cpu)[ 0, -1 ];
}
$_->finish for values %cluster;
