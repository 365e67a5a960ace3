#!/usr/bin/perl
#
# reaper.pl SECONDS COMMAND...
#	  Runs a command and leaves no process behind.
#
# Servers that a test starts are daemons: they outlive it when it is killed, and
# where process 1 does not reap (containers) a server that was killed stays a
# zombie for ever, whose pid keeps the next one from starting.  So this process
# declares itself the reaper of all its descendants: orphans become its children.
# It waits for each, and when the command has ended, or after SECONDS, it ends the
# rest by pid.  A rest after a command that succeeded is an error: a test did not
# clean up.
#
use strict;
use warnings;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

my ($seconds, @command) = @ARGV;
die "usage: reaper.pl SECONDS COMMAND...\n" unless @command;

# prctl(PR_SET_CHILD_SUBREAPER, 1)
my %prctl = (x86_64 => 157, aarch64 => 167, riscv64 => 167, i686 => 172, ppc64le => 171, s390x => 172);
my $number = $prctl{ (POSIX::uname())[4] };
if (!defined $number || syscall($number, 36, 1, 0, 0, 0) != 0)
{
	warn "# can't become the reaper of descendants here: a killed test may leave processes\n";
}

my $main = fork() // die "fork: $!\n";
if ($main == 0)
{
	# a group of its own, so that a signal reaches prove and the test at once
	setpgrp(0, 0);
	exec { $command[0] } @command or die "can't run $command[0]: $!\n";
}

my $stop = '';
foreach my $signal (qw(INT TERM HUP))
{
	$SIG{$signal} = sub { $stop ||= "SIG$signal" };
}

# Children of this process, as [pid, command line].
sub children
{
	my @found;
	foreach my $stat (glob('/proc/[0-9]*/stat'))
	{
		open(my $fh, '<', $stat) or next;
		my $text = do { local $/; <$fh> };
		next unless defined $text && $text =~ /^(\d+) \(.*\) (\S) (\d+) /s;
		next if $3 != $$ || $2 eq 'Z';
		my $pid = $1;
		my $line = '';
		if (open(my $cmd, '<', "/proc/$pid/cmdline"))
		{
			local $/;
			$line = <$cmd> // '';
			$line =~ tr/\0/ /;
		}
		push @found, [ $pid, $line ];
	}
	return @found;
}

my $until = time + $seconds;
my $status;
while (!defined $status)
{
	while ((my $pid = waitpid(-1, WNOHANG)) > 0)
	{
		$status = $? if $pid == $main;
	}
	last if defined $status;
	$stop ||= "$seconds s have passed" if time > $until;
	if ($stop)
	{
		warn "# ended: $stop\n";
		# TERM first: a test then cleans up, also when prove is gone already
		kill 'TERM', -$main;
		my $patience = time + 20;
		while (time < $patience && kill(0, -$main))
		{
			while ((my $pid = waitpid(-1, WNOHANG)) > 0)
			{
				$status = $? if $pid == $main;
			}
			sleep 0.02;
		}
		kill 'KILL', -$main;
		$status //= 9;
		last;
	}
	sleep 0.01;
}

# A process that is just ending is no leftover: look for a moment before judging.
my @left;
my $patience = time + 2;
do
{
	1 while waitpid(-1, WNOHANG) > 0;
	@left = children();
	sleep 0.05 if @left;
} while (@left && time < $patience);

print STDERR "# left behind: $_->[0] $_->[1]\n" foreach @left;
my $leftover = @left;
for (my $round = 0; @left && $round < 100; $round++)
{
	kill 'KILL', map { $_->[0] } @left;
	sleep 0.05;
	1 while waitpid(-1, WNOHANG) > 0;
	@left = children();    # whose children are ours now
}

my $rc = $status & 127 ? 128 + ($status & 127) : $status >> 8;
$rc = 1 if $stop && $rc == 0;
if ($rc == 0 && $leftover)
{
	print STDERR "# processes were left behind by tests that passed\n";
	$rc = 1;
}
exit $rc;
