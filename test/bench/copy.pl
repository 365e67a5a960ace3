# copy.pl
#    Copies of one primary of about 2 GB, in turns on one machine, all of them on
#    disk before they count as done: plain pg_basebackup, "regent-node copy" and
#    "regent-node delta" out of a directory of which 5 % of the blocks have
#    changed since.  The ratios of the medians are what counts.
#
# Both ends are on one machine, so what is saved of the network does not show.  With
# --link MB all of them go over a link of so many MB a second (link.c); 117 is what is
# left of 1 Gbit/s.
use strict;
use warnings;
use Getopt::Long;
use JSON::PP;
use RegentCluster qw(run_command free_port wait_until);
use Time::HiRes qw(time);

$| = 1;
my ($rounds, $scale, $link) = (5, 132, 0);
GetOptions('rounds=i' => \$rounds, 'scale=i' => \$scale, 'link=f' => \$link) or exit 2;
my $json = JSON::PP->new->canonical;
chomp(my $bin = qx($ENV{PG_CONFIG} --bindir));

sub median { my @s = sort { $a <=> $b } @_; return @s % 2 ? $s[ $#s / 2 ] : ($s[ @s / 2 - 1 ] + $s[ @s / 2 ]) / 2 }

my $c = RegentCluster->new(nodes => 2, no_sshd => 1, servers => 0,
	conf => "regent.gate = off\nshared_buffers = 256MB\nmax_wal_size = 8GB\nautovacuum = off\n");
my $n1 = $c->node('n1');
my $old = $c->node('n2')->{dir};
my $port = $link > 0 ? free_port() : $n1->{port};
my @source = ('n1', '127.0.0.1', $port, 'regent_replication', $c->dir . '/pgpass', 'regent_n2');

$c->make_primary('n1');
if ($link > 0)
{
	$c->spawn([ "$RegentCluster::top/test/bench/build/link", $port, $n1->{port}, $link ], $c->dir . '/link.log');
	wait_until(sub { (run_command([ "$bin/pg_isready", '-q', '-h', '127.0.0.1', '-p', $port ]))[0] == 0 }, 30, 'the link');
}
RegentCluster::must([ "$bin/pgbench", '-i', '-q', '-s', $scale, $c->conninfo('n1') ], timeout => 900);
$c->sql('n1', 'VACUUM FREEZE', timeout => 300);
$c->make_standby('n2');
$c->init_cluster;
$c->wait_caught_up('n1', 'n2');
$c->stop_server('n2');
# a row in each 35th page of the table; with the index that is a block in twenty
$c->sql('n1', 'UPDATE pgbench_accounts SET abalance = 1 WHERE aid % (61 * 35) = 0', timeout => 300);
$c->sql('n1', 'CHECKPOINT', timeout => 300);

# Seconds.  What lies in the page cache unwritten is not this one's.
sub timed
{
	my ($code) = @_;
	RegentCluster::must(['sync'], timeout => 300);
	my $began = time();
	$code->();
	return time() - $began;
}

# Gives the blocks of a copy back and keeps its inodes to the end: ext4 without a
# journal goes around each inode that was deleted within the last minutes, for every file
# that is made, so that one way would pay for what the one before it has left.
my $kept = 0;
sub give_back
{
	my ($dir) = @_;
	my $aside = $c->dir . '/n2/gone.' . ++$kept;
	rename $dir, $aside or die "$dir: $!";
	RegentCluster::must([ 'find', $aside, '-type', 'f', '-exec', 'truncate', '-s', '0', '{}', '+' ], timeout => 300);
}

sub verb
{
	my (@words) = @_;
	my ($rc, $out, $err) = run_command([ "$RegentCluster::top/scripts/regent-node", '-c', $c->dir . '/node.conf', 'n2', @words ], timeout => 900);
	die "@words: $out$err" if $rc != 0;
	return decode_json((grep { /^\{/ } split /\n/, $out)[-1]);
}

my %runs = (
	plain => sub {
		RegentCluster::must([ "$bin/pg_basebackup", '-D', "$old.plain", '-d', "host=127.0.0.1 port=$port user=postgres", '-X', 'stream', '-c', 'fast' ], timeout => 900);
	},
	copy => sub { verb('copy', 1, @source) },
	delta => sub { my $a = verb('delta', 1, @source); printf "# %.1f%% of %.2f GB transferred\n", 100 * $a->{transferred} / $a->{bytes}, $a->{bytes} / 1e9 });

my %times;
for my $round (0 .. $rounds)
{
	# the first round warms caches and does not count; then each way comes first in turn
	my @ways = sort keys %runs;
	push @ways, shift @ways for 1 .. $round % @ways;
	for my $way (@ways)
	{
		my $seconds = timed($runs{$way});
		push @{ $times{$way} }, $seconds if $round > 0;
		print $json->encode({ scenario => 'copy', way => $way, round => $round, seconds => sprintf('%.2f', $seconds) + 0 }), "\n";
		give_back($way eq 'plain' ? "$old.plain" : "$old.regent-new");
		verb('discard') if $way ne 'plain';
	}
}
my %m = map { $_ => median(@{ $times{$_} }) } keys %times;
printf "\n%d rounds, medians: pg_basebackup %.2f s, regent-node copy %.2f s, regent-node delta %.2f s\n", $rounds, @m{qw(plain copy delta)};
printf "copy takes %.2f times as long as pg_basebackup; delta is %.2f times faster\n", $m{copy} / $m{plain}, $m{plain} / $m{delta};
$c->finish;
